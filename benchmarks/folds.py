"""Wake words heard by models that never heard their speakers: `python -m benchmarks.folds`.

Five folds of all recordings, by speaker where one is named, else by file (the wake words name
none). The recipe is trained five times, each time without one fold, which then is heard: its
wake words in a quiet room and by the recipe `standard`, and all its speech without the words. The
scores of all folds are put together. Each training takes as long as the bundled model's, less with
--epochs, and is kept in --work. Writes benchmarks/folds.json. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomli
import torch
from numpy.typing import NDArray

import kws
from export.checkpoints import xvector
from export.training import calibrate, gate, recordings
from export.training.__main__ import HERE
from export.training.calibrate import Track, float_audio
from export.training.leaving import FOLDS, Leaving
from export.training.recordings import RATE, Clip
from export.training.vocabulary import LABELS, SPOKEN_AS, WAKE_WORDS
from export.write import write
from kws import card as cards
from kws.evaluate import peaks, results, search
from kws.evaluate.match import Word
from kws.evaluate.simulation.simulate import clean
from kws.evaluate.simulation.standard import standard
from kws.flow import Samples

RESULT = Path(__file__).with_suffix(".json")
SPLITS = ("train", "calibration", "validation")
RATES = (0.1, 0.2, 0.27, 0.5, 1.0)
"""False alarms an hour; 0.27 is one in the validation split's 3.7 hours."""
SMOOTHING = 2
Peaks = dict[str, NDArray[np.float64]]


def trained(fold: int, work: Path, threads: int, epochs: int) -> Path:
    """Train without a fold, unless it is; return the checkpoint."""
    folder = work / str(fold)
    command = ["-m", "export.training", "--fold", str(fold), "--work", str(folder)]
    command += ["--threads", str(threads), "--epochs", str(epochs)]
    subprocess.run([sys.executable, *command], check=True)
    return folder / "finish" / "checkpoint.pt"


def opened(checkpoint: Path) -> kws.Model:
    """Return a fold's network as a model, stored as the bundled one is."""
    network = xvector.read_network(torch.load(checkpoint, weights_only=True))
    config = network.config
    card = cards.Card(
        version=cards.VERSION,
        kind="stream",
        family=xvector.FAMILY,
        sample_rate=RATE,
        window=config.window,
        hop=config.hop_samples,
        labels=[
            cards.Label(name, "wake" if name in WAKE_WORDS else "background") for name in LABELS
        ],
        activation="softmax",
        producer="benchmarks.folds",
        date="",
    )
    path = checkpoint.with_name("fold.onnx")
    write(xvector.stream_graph(network), card, path, overwrite=True)
    return kws.load(path)


def held(fold: int, of: Callable[[str], list[Clip]]) -> list[Clip]:
    """Return a fold's clips, of all splits."""
    leaving = Leaving(fold=fold)
    return [clip for split in SPLITS for clip in of(split) if leaving.holds(clip)]


def heard(fold: int, model: kws.Model) -> dict[str, Any]:
    """Return how high each wake word rose where it was said, and where it was not."""
    table: Callable[[str], Callable[[str], list[Clip]]]
    table = lambda kind: lambda split: recordings.table(kind, split)  # noqa: E731
    said = [clip for clip in held(fold, table("wake")) if _word(clip) in WAKE_WORDS]
    speech = _audio(held(fold, recordings.keyword_free))
    more = _audio(held(fold, table("speech_untranscribed")))
    words = list(zip(map(_word, said), _audio(said), strict=True))
    noise = _audio(gate.silent("validation"))
    noisy = standard(
        words,
        RATE,
        speech=_tape(speech),
        noise=_tape(noise),
        rooms=[room.astype(np.float64) for room in recordings.rooms("validation")],
    )
    streams = {"clean": clean(words, RATE), "standard": noisy}
    quiet = calibrate.track(model, itertools.chain(speech, more))
    return {
        "hours": quiet.hours,
        "alarms": {name: peaks.alarm_peaks(_score(quiet, name), quiet.ends) for name in WAKE_WORDS},
        **{name: _said(model, pieces) for name, pieces in streams.items()},
    }


def _said(model: kws.Model, pieces: Iterable[tuple[Samples, Word]]) -> Peaks:
    audio, truth = zip(*pieces, strict=True)
    track = calibrate.track(model, audio)
    return {
        name: peaks.word_peaks(_score(track, name), track.ends, truth, name) for name in WAKE_WORDS
    }


def _score(track: Track, name: str) -> NDArray[np.float32]:
    return track.score(LABELS.index(name), SMOOTHING)


def _word(clip: Clip) -> str:
    return SPOKEN_AS.get(clip.label, clip.label)


def _audio(clips: list[Clip]) -> list[Samples]:
    return [float_audio(pcm) for pcm in recordings.load(clips)]


def _tape(pieces: list[Samples]) -> Callable[[int], Samples]:
    """Return what gives the next so many samples, over and over."""
    whole, at = np.concatenate(pieces), 0

    def take(count: int) -> Samples:
        nonlocal at
        found: Samples = np.take(whole, np.arange(at, at + count), mode="wrap")
        at = (at + count) % len(whole)
        return found

    return take


def together(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the folds' scores together; return misses at each rate of false alarms."""
    hours = sum(fold["hours"] for fold in folds)
    alarms = _joined([fold["alarms"] for fold in folds])
    found: dict[str, Any] = {"hours": round(hours, 3), "folds": len(folds)}
    for stream in ("clean", "standard"):
        said = _joined([fold[stream] for fold in folds])
        found[stream] = {}
        for rate in search.rates_in(hours, RATES):
            levels = search.thresholds(said, alarms, hours=hours, per_hour=rate)
            missed = {name: int((said[name] < level).sum()) for name, level in levels.items()}
            count = sum(map(len, said.values()))
            found[stream][f"{rate:g}"] = {
                "missed": msgspec.to_builtins(results.share(sum(missed.values()), count)),
                "by_word": {name: [missed[name], len(said[name])] for name in missed},
                "events": sum(int((alarms[name] >= level).sum()) for name, level in levels.items()),
            }
    return found


def _joined(each: list[Peaks]) -> Peaks:
    return {name: np.concatenate([peaks[name] for peaks in each]) for name in WAKE_WORDS}


def main() -> None:
    """Train, hear, put together, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".folds"))
    parser.add_argument("--threads", type=int, default=2)
    recipe = tomli.loads((HERE / "bundled.toml").read_text(encoding="utf-8"))
    epochs = recipe["training"]["epochs"]
    parser.add_argument("--epochs", type=int, default=epochs, help="of each training's first phase")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    found = []
    for fold in range(FOLDS):
        found.append(heard(fold, opened(trained(fold, args.work, args.threads, args.epochs))))
        print(f"fold {fold}: {found[-1]['hours']:.2f} h", file=sys.stderr)
    command = f"python -m benchmarks.folds --epochs {args.epochs}"
    result = {"command": command, "epochs": args.epochs, "of": epochs, **together(found)}
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
