"""Hearing: recordings in, what the live chain makes of them out; scores spread over workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kws.errors import AudioError
from kws.evaluate.recording import Recording
from kws.evaluate.replay import Replay
from kws.evaluate.tracks import Track, Unit, join, recordings, score, silence, units
from kws.evaluate.workers.spread import results
from kws.evaluate.workers.task import Failed
from kws.resample import Channel
from kws.session import Model
from kws.terminal.progress import progress
from kws.thresholds import Settings
from kws.verification import VerifierConfig


@dataclass(frozen=True)
class Hearing:
    """How recordings are heard.

    gate, channel: as a Spotter takes them. workers: processes on this machine; dask: a
    scheduler's address instead. kept: a folder for finished scores, so that an interrupted run
    goes on. verifier: what judges the first stages' finds, on this machine.
    """

    models: Sequence[Model]
    settings: Settings
    gate: str | None = None
    channel: Channel = None
    workers: int = 1
    dask: str | None = None
    kept: Path | None = None
    verifier: VerifierConfig | None = None

    def hear(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Recording | str]]:
        """Yield each path with what was heard, or with one line on why it could not be.

        Raises ConfigError: no such gate, no scheduler there.
        """
        replay = Replay(
            self.models,
            self.settings,
            gate=self.gate,
            channel=self.channel,
            verifier=self.verifier,
        )
        tail = silence(self.models, self.settings, self.gate, self.verifier)
        parts = [
            [units(path, model, index=i, channel=self.channel, tail=tail) for path in paths]
            for i, model in enumerate(self.models)
        ]
        every = [unit for files in zip(*parts, strict=True) for part in files for unit in part]
        with progress("scoring", len(every)) as advance:
            found = results(
                every, score, workers=self.workers, dask=self.dask, kept=self.kept, told=advance
            )
            with closing(found):
                for number, path in enumerate(paths):
                    counts = [len(files[number]) for files in parts]
                    scored = [[next(found) for _ in range(count)] for count in counts]
                    yield path, _heard(replay, path, scored)


def _heard(
    replay: Replay, path: Path, scored: Sequence[Sequence[Track | Failed[Unit]]]
) -> Recording | str:
    failed = [part for parts in scored for part in parts if isinstance(part, Failed)]
    if failed:
        return failed[0].reason
    tracks = [join([part for part in parts if isinstance(part, Track)]) for parts in scored]
    try:
        return Recording(str(path), tracks, replay.hear(path, tracks))
    except AudioError as error:
        return str(error)


def audio_files(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are and folders as the audio files below them.

    Raises AudioError: nothing there, no audio in a folder.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise AudioError(f"{path}: no such file or folder")
        found += recordings(path) if path.is_dir() else [path]
    return found
