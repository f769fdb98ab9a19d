"""Tables: datasets of Hugging Face, by id or in a folder; their audio is decoded by soundfile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from export.training.finetuning.audio import Clip, Row
from export.training.finetuning.corpus import TRAIN, Corpus, mapped
from export.training.finetuning.options import Options
from kws.errors import ConfigError, DataError
from kws.install_hint import missing_packages

SAVED = ("dataset_dict.json", "state.json")
"""Files by which a folder is known as what `save_to_disk` wrote."""
TABLES = ("*.parquet", "*.arrow", "data/*.parquet", "*/*.parquet", "metadata.csv", "metadata.jsonl")
"""Files by which a folder is known as what `load_dataset` reads."""
AUDIO = ("audio", "speech", "file", "path", "filename", "file_name")
LABEL = (
    "label", "labels", "keyword", "word", "command", "class", "category", "target", "intent",
    "intent_class", "genre", "emotion", "language", "lang_id",
)  # fmt: skip
SPEAKER = ("speaker_id", "speaker", "speakerid", "client_id", "user_id", "speaker_no")


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder holds a dataset, and not label folders."""
    if any((folder / name).is_file() for name in SAVED):
        return True
    return any(True for pattern in TABLES for _ in folder.glob(pattern))


def local(folder: Path, options: Options) -> Corpus:
    """Read what `save_to_disk` wrote, or `load_dataset` reads of a folder. Raises DataError."""
    saved = any((folder / name).is_file() for name in SAVED)
    with _datasets() as datasets:
        try:
            if saved:
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder))
        except Exception as error:  # noqa: BLE001 - each file format has errors of its own
            raise DataError(f"{folder}: can't be read as a dataset: {_line(error)}") from None
        return _corpus(datasets, found, folder.resolve().name, options, folder)


def hub(data: str, options: Options, say: Callable[[str], None]) -> Corpus:
    """Read a dataset of the Hub, `owner/name` or `owner/name:config`. Raises DataError."""
    name, _, config = data.partition(":")
    say(f"looking for the dataset {data} in the cache and on the Hub")
    with _datasets() as datasets:
        try:
            found = datasets.load_dataset(name, config or None)
        except Exception as error:  # noqa: BLE001 - each layer of the network has errors of its own
            raise DataError(
                f"{data}: neither a folder here nor a dataset that could be loaded: {_line(error)}"
            ) from None
        return _corpus(datasets, found, data, options, None)


@contextmanager
def _datasets() -> Iterator[Any]:
    """Import datasets; keep its bars and warnings to itself. Raises ConfigError: it is missing."""
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        raise ConfigError(missing_packages(["datasets"], "train")) from None
    bars = datasets.utils.logging
    level = bars.get_verbosity()
    datasets.disable_progress_bars()
    bars.set_verbosity_error()
    logging.disable(logging.WARNING)
    try:
        yield datasets
    finally:
        logging.disable(logging.NOTSET)
        bars.set_verbosity(level)


def _corpus(datasets: Any, found: Any, name: str, options: Options, folder: Path | None) -> Corpus:
    tables: Mapping[str, Any] = found if isinstance(found, Mapping) else {TRAIN: found}
    known, notes = mapped(tables), []
    if TRAIN not in known.values():
        known = dict.fromkeys(tables, TRAIN)
    elif left := sorted(set(tables) - set(known)):
        notes.append(f"left out, for what they are called: {', '.join(left)}")
    splits: dict[str, list[Clip]] = {}
    for split, meant in known.items():
        reader = _Reader(datasets, tables[split], f"{name}, {split}", options, folder)
        if clips := reader.clips():
            splits.setdefault(meant, []).extend(clips)
            notes.append(f"{split}: audio is {reader.audio!r}, labels are {reader.label!r}")
        else:
            notes.append(f"{split}: has no labels, and is left out")
    if TRAIN not in splits:
        raise DataError(f"{name}: has no labelled recordings to train on")
    return Corpus(name, splits, list(dict.fromkeys(notes)))


class _Reader:
    """One split of a dataset: which of its columns are what."""

    def __init__(
        self, datasets: Any, table: Any, name: str, options: Options, folder: Path | None
    ) -> None:
        self.name, self._folder, self._features = name, folder, table.features
        self._heard, self._classes = datasets.Audio, datasets.ClassLabel
        self.audio = self._choose("audio", options.audio_column, self._holds_audio, AUDIO)
        self.label = self._choose("label", options.label_column, self._holds_labels, LABEL)
        wanted = options.speaker_column
        if wanted:
            self._exists("speaker", wanted)
        self.speaker = wanted or next((c for c in table.features if c.lower() in SPEAKER), None)
        if isinstance(self._features[self.audio], datasets.Audio):
            table = table.cast_column(self.audio, datasets.Audio(decode=False))
        self._table = table

    def clips(self) -> list[Clip]:
        """Return the split's recordings; none where it is published without labels."""
        labels = self._labels()
        if all(label is None for label in labels):
            return []
        nobody = [None] * len(labels)
        speakers = list(self._table[self.speaker]) if self.speaker else nobody
        audio = self._table.select_columns([self.audio])
        clips = []
        for number, (label, speaker) in enumerate(zip(labels, speakers, strict=True)):
            name = f"{self.name}, row {number}"
            if label is None:
                raise DataError(f"{name}: {self.label!r} is empty; remove the row, or give a label")
            who = "" if speaker is None else str(speaker)
            clips.append(Clip(label, name, Row(audio, number, self.audio, name, self._folder), who))
        return clips

    def _labels(self) -> list[str | None]:
        values, feature = list(self._table[self.label]), self._features[self.label]
        if isinstance(feature, self._classes):
            return [None if v is None or v < 0 else str(feature.names[v]) for v in values]
        return [None if value is None or value == "" else str(value) for value in values]

    def _choose(
        self,
        what: str,
        asked: str | None,
        certain: Callable[[Any], bool],
        usual: Sequence[str],
    ) -> str:
        """Return the column that is `what`: as asked, by its type, or by its name."""
        if asked is not None:
            self._exists(what, asked)
            return asked
        typed = [name for name, feature in self._features.items() if certain(feature)]
        named = [name for name in usual if name in (typed or self._plain())]
        if len(typed) == 1 or named:
            return typed[0] if len(typed) == 1 else named[0]
        option = f"name it by --{what}-column"
        if typed:
            raise DataError(f"{self.name}: the {what} could be {', '.join(typed)}; {option}")
        raise DataError(
            f"{self.name}: no column holds {what}; there are {', '.join(self._features)}; {option}"
        )

    def _exists(self, what: str, name: str) -> None:
        if name not in self._features:
            raise DataError(
                f"{self.name}: no column {name!r} for {what}; there are {', '.join(self._features)}"
            )

    def _plain(self) -> list[str]:
        """Return the columns of plain values: text and whole numbers."""
        return [
            name
            for name, feature in self._features.items()
            if str(getattr(feature, "dtype", "")).startswith(("string", "large_string", "int"))
        ]

    def _holds_audio(self, feature: Any) -> bool:
        struct = isinstance(feature, dict) and {"array", "sampling_rate"} <= feature.keys()
        return struct or isinstance(feature, self._heard)

    def _holds_labels(self, feature: Any) -> bool:
        return isinstance(feature, self._classes)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
