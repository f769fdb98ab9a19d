"""The recordings as files that `kws eval` reads: `python -m benchmarks.material OUT`.

    words/<label>/*.flac   isolated words: Speech Commands, file names as published
    wake/<label>/*.flac    wake words
    speech/*.flac          keyword-free utterances, one file a speaker
    untranscribed/*.flac   speech without transcripts, one file a speaker: no wake words in it
    noise/*.flac           noise, without music
    rooms/*.wav            impulse responses of unit energy, float32

Of one split, 16 kHz. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from export.training import recordings
from export.training.recordings import RATE, Clip, Pcm
from kws.errors import DataError

SPLITS = ("train", "calibration", "validation")


def lay_out(folder: Path, split: str) -> None:
    """Write a split's recordings below `folder`; what is complete already stays as it is.

    Raises DataError: no recordings, or another split lies there.
    """
    parts: dict[str, Callable[[Path, str], None]] = {
        "words": lambda to, of: write_clips(to, recordings.table("speech_commands", of)),
        "wake": lambda to, of: write_clips(to, recordings.table("wake", of)),
        "speech": lambda to, of: _speakers(to, recordings.keyword_free(of)),
        "untranscribed": lambda to, of: _speakers(to, recordings.table("speech_untranscribed", of)),
        "noise": _noise,
        "rooms": _rooms,
    }
    for name, write in parts.items():
        stamp = folder / name / ".complete"
        if not stamp.exists():
            (folder / name).mkdir(parents=True, exist_ok=True)
            write(folder / name, split)
            stamp.write_text(split, encoding="utf-8")
        elif (other := stamp.read_text(encoding="utf-8")) != split:
            raise DataError(f"{folder / name}: holds the {other} split; take another folder")


def write_clips(folder: Path, clips: Sequence[Clip]) -> None:
    """Write a file a clip, by label. A name that came twice is counted on."""
    taken: set[Path] = set()
    for clip, pcm in zip(clips, recordings.load(list(clips)), strict=True):
        stem, number = _safe(Path(clip.name).stem), 2
        path = folder / clip.label / f"{stem}.flac"
        while path in taken:
            path = path.with_name(f"{stem}_{number}.flac")
            number += 1
        taken.add(path)
        _write(path, [pcm])


def _speakers(folder: Path, clips: Sequence[Clip]) -> None:
    """Write a file a speaker: the utterances one after another."""
    said: dict[str, list[Pcm]] = defaultdict(list)
    for clip, pcm in zip(clips, recordings.load(list(clips)), strict=True):
        said[_safe(f"{clip.source}-{clip.speaker or 'unnamed'}")].append(pcm)
    for name, utterances in said.items():
        _write(folder / f"{name}.flac", utterances)


def _noise(folder: Path, split: str) -> None:
    clips = [clip for clip in recordings.table("noise", split) if clip.label == "noise"]
    for number, (clip, pcm) in enumerate(zip(clips, recordings.load(clips), strict=True)):
        _write(folder / f"{number:03}-{_safe(clip.source)}.flac", [pcm])


def _rooms(folder: Path, split: str) -> None:
    for number, response in enumerate(recordings.rooms(split)):
        soundfile.write(folder / f"{number:03}.wav", response, RATE, subtype="FLOAT")


def _write(path: Path, pieces: list[Pcm]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(pieces), RATE, subtype="PCM_16")


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="The recordings as files that kws eval reads.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="validation", choices=SPLITS)
    options = parser.parse_args()
    lay_out(options.out, options.split)
    for part in sorted(options.out.iterdir()):
        files = [file for file in part.rglob("*") if file.suffix in (".flac", ".wav")]
        print(f"{part.name:14} {len(files)} files")


if __name__ == "__main__":
    main()
