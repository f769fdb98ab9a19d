"""Measurement: what one call of `kws eval` found, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kws.card import Rate
from kws.errors import ConfigError, DataError
from kws.evaluate import clips, results, search, streams
from kws.evaluate.cardfile import with_thresholds, with_verified, write_card
from kws.evaluate.corpus import clipset
from kws.evaluate.hearing import Hearing, audio_files
from kws.evaluate.recording import Recording
from kws.evaluate.streams import Streams
from kws.evaluate.tracks import sha
from kws.evaluate.truthfile import Truth
from kws.session import Model
from kws.sources.file import AudioFile
from kws.terminal.progress import progress
from kws.verification import VerifierConfig


@dataclass(frozen=True)
class Chosen:
    """Thresholds that were found, and what they give on the very audio they were found on."""

    per_hour: float
    thresholds: dict[str, float]
    point: results.Point


def of_clips(
    hearing: Hearing, folder: Path, *, split: str | None, protocol: str | None, noise: Path | None
) -> results.Clips:
    """Return the accuracy over a folder of clips. Raises ConfigError, DataError."""
    if len(hearing.models) > 1:
        raise ConfigError("clips are scored by one model; give one --model")
    model = hearing.models[0]
    found = clipset.find(model, folder, split=split, protocol=protocol, noise=noise)
    with progress("clips", len(found.clips)) as advance:
        return clips.run(
            model,
            found,
            workers=hearing.workers,
            dask=hearing.dask,
            kept=hearing.kept,
            told=advance,
        )


def check(truth: Truth, stream: Path, levels: Mapping[str, float]) -> None:
    """Raise DataError where a truth file is not that of a recording; AudioError: no recording."""
    with closing(AudioFile(stream)) as source:
        # What is coded with loss only guesses its length, some headers don't tell it.
        told = source.length / source.rate if source.length and source.exact else None
        seconds = truth.seconds if told is None else told
        streams.check(truth, str(stream), seconds, levels)


def recordings(
    hearing: Hearing, stream: Path, negatives: Sequence[Path]
) -> tuple[list[Recording], dict[str, str]]:
    """Return what was heard of the stream and of each negative, and what could not be read.

    Raises DataError: the stream can't be heard, no negative could be. AudioError: nothing there.
    """
    heard: list[Recording] = []
    failed: dict[str, str] = {}
    for path, found in hearing.hear([stream, *audio_files(negatives)]):
        if isinstance(found, Recording):
            heard.append(found)
        elif path == stream:
            raise DataError(found)
        else:
            failed[str(path)] = found.removeprefix(f"{path}: ")
    if negatives and len(heard) < 2:
        name, reason = next(iter(failed.items()))
        raise DataError(f"no audio without keywords could be heard (the first: {name}: {reason})")
    return heard, failed


def choose(found: Streams, per_hour: float) -> Chosen:
    """Return thresholds for so many false alarms an hour, all keywords together.

    Raises DataError: the hours can't support that rate, a keyword was never said.
    """
    said, alarms = found.peaks()
    levels = search.thresholds(said, alarms, hours=found.hours, per_hour=per_hour)
    return Chosen(per_hour, levels, found.point(levels, wanted=per_hour))


def keep(
    chosen: Chosen,
    models: Sequence[Model],
    out: Path | None,
    *,
    write: bool,
    verifier: VerifierConfig | None = None,
) -> None:
    """Write thresholds into an override file, and with `write` into the models' cards.

    Those of verified keywords go into the verifier's card, for this first stage.
    Raises ConfigError: it can't be written; a verifier stands behind several models. ModelError.
    """
    if out is not None:
        text = msgspec.json.encode({"thresholds": chosen.thresholds})
        try:
            out.write_bytes(msgspec.json.format(text, indent=2) + b"\n")
        except OSError as error:
            raise ConfigError(f"{out}: can't be written ({error.strerror})") from None
    measured, judged = chosen.point.false_alarms, verifier.candidates if verifier else {}
    if not write or measured is None:
        return
    for model in models:
        known = chosen.thresholds.items()
        own = {n: level for n, level in known if n in model.keywords and n not in judged}
        if own:
            write_card(model.path, with_thresholds(model.card, own, measured))
    if verifier is not None:
        _keep_verified(verifier, models, chosen, measured)


def _keep_verified(
    verifier: VerifierConfig, models: Sequence[Model], chosen: Chosen, measured: Rate
) -> None:
    rules = verifier.rules[0]
    if len(models) > 1 or rules is None:
        raise ConfigError("a verifier's card has thresholds for one first stage; give one --model")
    levels = {n: level for n, level in chosen.thresholds.items() if n in verifier.candidates}
    first = sha(models[0].path)  # which its own thresholds may just have changed
    card = with_verified(verifier.model.card, rules, levels, measured, first)
    write_card(verifier.model.path, card)
