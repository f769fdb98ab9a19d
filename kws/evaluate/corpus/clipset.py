"""ClipSet: which clips a protocol asks for, and what each of a model's labels counts as."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kws.errors import ConfigError, DataError
from kws.evaluate.corpus import speech_commands
from kws.evaluate.corpus.reading import LongRecording, recordings_of
from kws.evaluate.corpus.speech_commands import ARCHIVE_CLIPS, NOISE, WORDS
from kws.evaluate.protocols import COMMANDS, SILENCE, UNKNOWN, v2_12
from kws.flow import Samples
from kws.session import Model

TWELVE = (*COMMANDS, UNKNOWN, SILENCE)
PROTOCOLS = ("labels", "v2-12", "v2-12-style", "v2-35")
Labelled = list[tuple[str, Path | Samples]]


@dataclass(frozen=True)
class ClipSet:
    """Clips with their labels.

    corpus: what they are, for people. clips: label, and where it lies or float32 [n] at the
    model's rate. names: every label that counts, in order. heard: what each label of the model
    counts as.
    """

    folder: Path
    protocol: str
    corpus: str
    clips: Labelled
    names: Sequence[str]
    heard: Mapping[str, str]


def find(
    model: Model,
    folder: Path,
    *,
    split: str | None = None,
    protocol: str | None = None,
    noise: Path | None = None,
) -> ClipSet:
    """Find the clips of a folder that a protocol asks for. Nothing is decoded but noise.

    protocol: None is guessed from the folder: the official test archive is `v2-12`, the corpus
    as published `v2-12-style`, or `v2-35` for a model of the 35 words and no other; anything
    else is `labels`.

    - `labels`: folders are the model's labels; those that it does not have are unknown.
    - `v2-12`: the official test archive's twelve folders, as they are.
    - `v2-12-style`: ten words, unknown and silence drawn by `protocols.v2_12`; silence is cut
      from `noise`, a folder, or else from the corpus's own.
    - `v2-35`: the corpus's 35 words.

    split: see `speech_commands.clips`. Where twelve labels count, all others of the model, its
    wake words among them, are unknown.
    Raises DataError: clips or noise are not there. AudioError: noise can't be read. ConfigError:
    the model lacks labels that the protocol needs, or there is no such protocol or split.
    """
    meant = protocol or guessed(model, folder)
    if meant not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {meant!r}; give {', '.join(PROTOCOLS)}")
    if meant == "labels":
        return _by_labels(model, folder, split)
    if meant == "v2-35":
        return _v2_35(model, folder, split)
    _require(model, COMMANDS, meant)
    heard = {name: _of_twelve(name) for name in model.labels}
    if meant == "v2-12":
        clips, corpus = _archive(folder)
    else:
        corpus = _corpus(folder, split)
        clips = _drawn(folder, split, noise, model.card.sample_rate)
    return ClipSet(folder, meant, corpus, clips, TWELVE, heard)


def guessed(model: Model, folder: Path) -> str:
    """Return the protocol that a folder was made for; see `find`."""
    has = set(model.labels)
    if speech_commands.is_archive(folder) and has >= set(COMMANDS):
        return "v2-12"
    if speech_commands.is_corpus(folder):
        if has == set(WORDS):
            return "v2-35"
        if has >= set(COMMANDS):
            return "v2-12-style"
    return "labels"


def canonical(label: str) -> str:
    """Return a label by its usual name: `unknown` and `silence` are written with underscores."""
    bare = f"_{label.strip('_')}_"
    return bare if bare in {UNKNOWN, SILENCE} else label


def _of_twelve(name: str) -> str:
    return canonical(name) if canonical(name) in TWELVE else UNKNOWN


def _require(model: Model, words: Sequence[str], protocol: str) -> None:
    missing = [word for word in words if word not in model.labels]
    if missing:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise ConfigError(
            f"{model.path.name}: {protocol} needs labels that it lacks ({named}); "
            "give --protocol labels"
        )


def _corpus(folder: Path, split: str | None) -> str:
    split = split or speech_commands.default_split(folder)
    name = folder.resolve().name
    return f"{name}, {split}" if split else name


def _by_labels(model: Model, folder: Path, split: str | None) -> ClipSet:
    heard = {name: canonical(name) for name in model.labels}
    names = list(dict.fromkeys(heard.values()))
    labelled: Labelled = []
    for clip in speech_commands.clips(folder, split):
        label = canonical(clip.label)
        if label not in names and UNKNOWN not in names:
            raise ConfigError(
                f"{folder / clip.label}: {model.path.name} has no label {clip.label}, and none "
                f"for unknown words; take the folder away, or rename it to one of {names}"
            )
        labelled.append((label if label in names else UNKNOWN, clip.path))
    return ClipSet(folder, "labels", _corpus(folder, split), labelled, names, heard)


def _v2_35(model: Model, folder: Path, split: str | None) -> ClipSet:
    _require(model, WORDS, "v2-35")
    found = speech_commands.clips(folder, split)
    _all_there(folder, WORDS, {clip.label for clip in found})
    labelled: Labelled = [(clip.label, clip.path) for clip in found if clip.label in WORDS]
    names = [*WORDS, *(name for name in model.labels if name not in WORDS)]
    heard = {name: name for name in model.labels}
    return ClipSet(folder, "v2-35", _corpus(folder, split), labelled, names, heard)


def _archive(folder: Path) -> tuple[Labelled, str]:
    if not speech_commands.is_archive(folder):
        raise DataError(
            f"{folder}: is not the official test archive, whose folders are "
            f"{', '.join(TWELVE)}; give --protocol v2-12-style for the corpus"
        )
    found = speech_commands.clips(folder)
    corpus = _corpus(folder, None)
    if len(found) != ARCHIVE_CLIPS:
        corpus += f" ({len(found)} clips; the official archive has {ARCHIVE_CLIPS})"
    return [(clip.label, clip.path) for clip in found], corpus


def _drawn(folder: Path, split: str | None, noise: Path | None, rate: int) -> Labelled:
    words: dict[str, list[Path]] = {}
    for clip in speech_commands.clips(folder, split):
        if canonical(clip.label) not in {UNKNOWN, SILENCE}:
            words.setdefault(clip.label, []).append(clip.path)
    _all_there(folder, COMMANDS, words)
    if len(words) == len(COMMANDS):
        raise DataError(f"{folder}: unknown words are missing; add folders of other words")
    if noise is None and not (folder / NOISE).is_dir():
        raise DataError(f"{folder}: silence needs noise, and {NOISE} is missing; give --noise")
    quiet = [LongRecording(p, rate) for p in recordings_of(noise or folder / NOISE)]
    return v2_12(words, quiet, rate=rate)


def _all_there(folder: Path, wanted: Sequence[str], found: Container[str]) -> None:
    missing = [word for word in wanted if word not in found]
    if missing:
        raise DataError(f"{folder}: no clips of {', '.join(missing)} in it, or in this split")
