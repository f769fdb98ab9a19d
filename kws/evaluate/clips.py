"""Clips: how often a model's most probable label is the word that was said."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import kws
from kws.classifiers import classify_clip
from kws.errors import DataError
from kws.evaluate import results
from kws.evaluate.corpus.clipset import ClipSet, find
from kws.evaluate.corpus.reading import read
from kws.evaluate.extras import need
from kws.evaluate.tracks import opened, sha
from kws.evaluate.workers.spread import spread
from kws.evaluate.workers.task import Failed
from kws.flow import Samples
from kws.session import BUNDLED, Model


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One clip to be scored, wherever that happens.

    label: what was said. audio: where it lies (absolute), or what was made of noise: float32
    [n] at the model's rate. model: its file, empty for the bundled one, wherever that lies;
    model_sha: of its bytes.
    """

    label: str
    audio: Path | Samples
    model: str
    model_sha: str

    @property
    def key(self) -> str:
        """A name for its result: another clip or model has another."""
        if isinstance(self.audio, Path):
            status = self.audio.stat()
            clip = repr((str(self.audio), status.st_size, status.st_mtime_ns)).encode()
        else:
            clip = self.audio.tobytes()
        return hashlib.sha256(kws.__version__.encode() + self.model_sha.encode() + clip).hexdigest()


def score(unit: Unit) -> str:
    """Return a clip's most probable label, as the model calls it.

    Raises AudioError: it can't be read. ModelError: the model can't, or is another one here.
    """
    model = opened(unit.model, unit.model_sha)
    audio = unit.audio
    samples = read(audio, model.card.sample_rate) if isinstance(audio, Path) else audio
    return model.labels[int(classify_clip(model, samples).argmax())]


def evaluate(
    model: Model,
    folder: Path,
    *,
    split: str | None = None,
    protocol: str | None = None,
    noise: Path | None = None,
    workers: int = 1,
    dask: str | None = None,
    kept: Path | None = None,
    told: Callable[[], None] | None = None,
) -> results.Clips:
    """Score the clips of a folder; see `clipset.find` and `run`."""
    clips = find(model, folder, split=split, protocol=protocol, noise=noise)
    return run(model, clips, workers=workers, dask=dask, kept=kept, told=told)


def run(
    model: Model,
    clips: ClipSet,
    *,
    workers: int = 1,
    dask: str | None = None,
    kept: Path | None = None,
    told: Callable[[], None] | None = None,
) -> results.Clips:
    """Score clips by the V2-12 rule: see `classify_clip`.

    Those that can't be read are in the result's `failed`. workers, dask, kept: see `spread`.
    told: called once a clip.
    Raises DataError: none could be read. ConfigError: scikit-learn is missing.
    """
    need("sklearn.metrics")  # told before the work, not after it
    where = "" if model.path == BUNDLED else str(model.path.absolute())
    file = sha(model.path)
    units = [Unit(label, _absolute(audio), where, file) for label, audio in clips.clips]
    said, heard, failed = [], [], dict[str, str]()
    found = spread(units, score, workers=workers, dask=dask, kept=kept, told=told)
    for unit, label in zip(units, found, strict=True):
        if isinstance(label, Failed):
            failed[_name(unit, clips.folder.absolute())] = label.reason.removeprefix(
                f"{unit.audio}: "
            )
        else:
            said.append(unit.label)
            heard.append(clips.heard[label])
    if not said:
        name, reason = next(iter(failed.items()))
        raise DataError(f"{clips.folder}: no clip could be scored (the first: {name}: {reason})")
    return _result(model, clips, said, heard, failed)


def _absolute(audio: Path | Samples) -> Path | Samples:
    return audio.absolute() if isinstance(audio, Path) else audio


def _name(unit: Unit, folder: Path) -> str:
    if isinstance(unit.audio, Path):
        return unit.audio.relative_to(folder).as_posix()
    return unit.label


def _result(
    model: Model,
    clips: ClipSet,
    said: Sequence[str],
    heard: Sequence[str],
    failed: dict[str, str],
) -> results.Clips:
    metrics = need("sklearn.metrics")
    names = [name for name in clips.names if name in {*said, *heard}]
    columns = metrics.precision_recall_fscore_support(said, heard, labels=names, zero_division=0.0)
    labels = {
        name: results.label(precision, recall, f1, count, heard.count(name))
        for name, precision, recall, f1, count in zip(names, *columns, strict=True)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A single label", UserWarning)  # that is no mistake
        confusion = metrics.confusion_matrix(said, heard, labels=names).tolist()
    recalls = [label.recall for label in labels.values() if label.recall is not None]
    hits = sum(one == other for one, other in zip(said, heard, strict=True))
    return results.Clips(
        model=model.name,
        protocol=clips.protocol,
        corpus=clips.corpus,
        accuracy=results.share(hits, len(said)),
        mean_recall=round(sum(recalls) / len(recalls), 5),
        labels=labels,
        confusion=confusion,
        failed=failed,
    )
