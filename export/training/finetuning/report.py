"""Report: how well each label is heard, on recordings that were kept aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from export.training.finetuning.corpus import TEST, TRAIN
from export.training.finetuning.progress import span
from kws.evaluate import results
from kws.evaluate.drawing import plots
from kws.evaluate.extras import need
from kws.origin import Strict

FEW = 20
"""Recordings of a label; a share of fewer says little."""
JSON, PICTURE = "report.json", "confusion.png"


class Report(Strict, frozen=True):
    """What a fine-tuning has come to.

    clips: figures and confusion matrix on the recordings of `split`. recordings: by split and
    label. window_s: what the network hears at a time. epochs: done. seconds: of this run, all in
    all. notes: what was recognised in data and checkpoint.
    """

    source: str
    data: str
    split: str
    clips: results.Clips
    recordings: dict[str, dict[str, int]]
    window_s: float
    epochs: int
    seconds: float
    notes: list[str]


def figures(name: str, corpus: str, said: Sequence[str], heard: Sequence[str]) -> results.Clips:
    """Return accuracy, precision, recall, F1 and the confusion matrix, [said][heard]."""
    metrics = need("sklearn.metrics")
    names = sorted({*said, *heard})
    columns = metrics.precision_recall_fscore_support(said, heard, labels=names, zero_division=0.0)
    labels = {
        label: results.label(precision, recall, f1, count, list(heard).count(label))
        for label, precision, recall, f1, count in zip(names, *columns, strict=True)
    }
    recalls = [label.recall for label in labels.values() if label.recall is not None]
    hits = sum(one == other for one, other in zip(said, heard, strict=True))
    return results.Clips(
        model=name,
        protocol="labels",
        corpus=corpus,
        accuracy=results.share(hits, len(said)),
        mean_recall=round(sum(recalls) / len(recalls), 5),
        labels=labels,
        confusion=metrics.confusion_matrix(said, heard, labels=names).tolist(),
    )


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def lines(report: Report) -> Iterator[str]:
    """Yield the report for people: a table, and what its figures rest on."""
    clips = report.clips
    told = clips.accuracy
    interval = f"{told.low:.1%} to {told.high:.1%}"
    yield f"{clips.corpus}: accuracy {told.value:.1%} ({interval}) on {told.count} recordings"
    wide = max(12, *(len(name) for name in clips.labels))
    yield f"{'':{wide}} {'trained':>8} {report.split:>10} {'precision':>9} {'recall':>7} {'F1':>7}"
    for name, label in clips.labels.items():
        yield (
            f"{name:{wide}} {report.recordings[TRAIN][name]:8} {label.clips:10} "
            f"{_known(label.precision):>9} {_known(label.recall):>7} {_known(label.f1):>7}"
        )
    yield f"heard {report.window_s:g} s at a time; {report.epochs} epochs, {span(report.seconds)}"
    if report.split != TEST:
        yield (
            "there is no test split: the best epoch was chosen on these very recordings, expect "
            "somewhat less elsewhere"
        )
    if few := [name for name, label in clips.labels.items() if label.clips < FEW]:
        yield (
            f"{', '.join(few[:5])}{' and others' if len(few) > 5 else ''}: fewer than {FEW} "
            "recordings each were measured, so their shares say little"
        )


def save(report: Report, folder: Path) -> None:
    """Write the report as JSON, and its confusion matrix as a picture beside it."""
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    (folder / JSON).write_bytes(encoded + b"\n")
    plots.confusion(report.clips, folder / PICTURE)


def read(folder: Path) -> Report:
    """Return the report of a run that has ended."""
    return msgspec.json.decode((folder / JSON).read_bytes(), type=Report)
