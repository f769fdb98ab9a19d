"""Tracks: a recording's scores with nothing withheld, hop by hop, computed in parts.

A track depends on the audio and the model alone, so that any process may compute any part of
it; what remembers without bound, gate and decision, comes afterwards, serially.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import kws
from kws.chain import Chain
from kws.classifiers import at_every_hop, classifier
from kws.errors import AudioError, ModelError
from kws.flow import Block
from kws.resample import Channel, Resampler
from kws.session import BUNDLED, Model, load
from kws.sources.file import AudioFile
from kws.thresholds import Settings
from kws.verification import VerifierConfig

SEGMENT_S = 600.0
"""How much of a long recording one part scores."""
SUFFIXES = {
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".mp3", ".ogg", ".oga", ".opus",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
}  # fmt: skip
"""The names of audio files end in one of these."""


@dataclass(frozen=True, eq=False)
class Track:
    """A recording's scores from silent history, or a part of them: at every hop, stride or not.

    values: float32 [hops, labels]; hop k covers the samples [k * hop, (k + 1) * hop) of the
        recording at the model's rate. The last hops hear the silence after it.
    hop: samples. rate: Hz, the model's. samples: of the recording at that rate, without the
        silence.
    """

    values: NDArray[np.float32]
    hop: int
    rate: int
    samples: int

    def ends(self) -> NDArray[np.int64]:
        """Return where each hop ends: samples, int64 [hops]."""
        return (np.arange(len(self.values), dtype=np.int64) + 1) * self.hop


@dataclass(frozen=True)
class Unit:
    """What is scored at once: the hops [first, last) of a recording; None is to its end.

    path: absolute. model: its file, empty for the bundled one, wherever that lies; model_sha: of
    its bytes. index: which of several models. tail: samples of silence after the recording, at
    the model's rate. size, changed_ns: what tells this recording from another of that name.
    """

    path: str
    model: str
    model_sha: str
    first: int
    last: int | None
    index: int = 0
    channel: Channel = None
    tail: int = 0
    size: int = 0
    changed_ns: int = 0

    @property
    def key(self) -> str:
        """A name for its result: another recording, model or part has another."""
        # Not the index: it says where the result belongs, not what it is.
        told = (
            *(kws.__version__, self.path, self.size, self.changed_ns, self.model_sha),
            *(self.first, self.last, self.channel, self.tail),
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def recordings(folder: Path) -> list[Path]:
    """Return the audio files in a folder and all below it, sorted; hidden ones are passed over.

    Raises AudioError: there are none, or it can't be read.
    """
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        raise AudioError(f"{error.filename}: can't be read ({error.strerror})")

    for root, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if not found:
        raise AudioError(f"{folder}: a directory without audio files, in it or below")
    return sorted(found)


def silence(
    models: Sequence[Model],
    settings: Settings,
    gate: str | None = None,
    verifier: VerifierConfig | None = None,
) -> int:
    """Return what `finish` lets these models hear after a recording, in samples at their rate.

    Without what a resampler adds. Raises ConfigError where they can't be heard together.
    """
    return Chain(models, settings, gate=gate, verify=verifier).ending


def units(
    path: str | os.PathLike[str],
    model: Model,
    segment_s: float = SEGMENT_S,
    *,
    index: int = 0,
    channel: Channel = None,
    tail: int | None = None,
) -> list[Unit]:
    """Return the parts of a recording to be scored: the whole, or segments of a long one.

    index: which of several models. tail: samples of silence to be heard after it, for several
    models or other settings: see `silence`; None is what this model asks for as it ships.
    A recording that can't be read is one part, whose scoring says why.
    """
    card = model.card
    if tail is None:
        tail = silence([model], Settings([card]))
    size = changed = samples = 0
    try:
        status = os.stat(path)  # noqa: PTH116 - the error is told by who reads it
        size, changed = status.st_size, status.st_mtime_ns
        samples = _divisible(path, card.sample_rate, channel)
    except (AudioError, OSError):
        pass
    hops = max(1, round(segment_s * card.sample_rate / card.hop))
    bounds = [number * hops for number in range(max(1, round(samples / (hops * card.hop))))]
    where = "" if model.path == BUNDLED else str(model.path.absolute())
    return [
        Unit(
            str(Path(path).absolute()), where, sha(model.path), first, last,
            index, channel, tail, size, changed,
        )
        for first, last in zip(bounds, [*bounds[1:], None], strict=True)
    ]  # fmt: skip


def _divisible(path: str | os.PathLike[str], rate: int, channel: Channel) -> int:
    """Return the length of a recording that can be scored in segments, 0 of any other.

    A resampler's state can't be cut, what is coded with loss is exact only from its start, whether
    channels cancel each other out is known only from there, and where no length is told there is
    nothing to divide.
    """
    with closing(AudioFile(path)) as source:
        mixed = source.channels > 1 and (channel == "mean" or source.channels == 2)
        whole = source.rate != rate or not source.exact or (mixed and not isinstance(channel, int))
        return 0 if whole else source.length or 0


def sha(path: Path) -> str:
    """Return a file's SHA-256, as hexadecimal digits."""
    status = path.stat()
    return _sha(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha(path: Path, size: int, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def opened(path: str, wanted: str) -> Model:
    """Open a model, once in each process; an empty path is the bundled one.

    Raises ModelError: it can't be loaded, or its SHA-256 is not the one that is wanted.
    """
    file = Path(path) if path else BUNDLED
    model = load(file)
    if sha(file) != wanted:
        raise ModelError(f"{file}: is not the same file everywhere; copy it to every worker")
    return model


def score(unit: Unit) -> Track:
    """Return the track of one part, bit by bit what the uncut recording gives.

    A segment is begun a window early: nothing before that reaches its scores. Raises
    AudioError and ModelError.
    """
    model = opened(unit.model, unit.model_sha)
    card = model.card
    first = unit.first * card.hop
    early = max(0, first - -(-card.window // card.hop) * card.hop)
    last = None if unit.last is None else unit.last * card.hop
    resampler, stage = (
        Resampler(card.sample_rate, channel=unit.channel),
        classifier(at_every_hop(model)),
    )
    values = [np.zeros((0, len(card.labels)), np.float32)]

    def hear(block: Block) -> int:
        for mono in resampler.process(block):
            scores = [hop.values for hop in stage.process(mono) if hop.start >= first]
            if scores:
                values.append(np.stack(scores))
        return block.end

    with closing(AudioFile(unit.path, first=early, last=last)) as source:
        for block in source:
            end = hear(block)
    samples = round(end * card.sample_rate / block.rate) - first
    if last is None:
        tail = round((resampler.latency + unit.tail) / card.sample_rate * block.rate)
        shape = (tail, *block.samples.shape[1:])
        hear(Block(np.zeros(shape, np.float32), end, block.rate))
    return Track(np.concatenate(values), card.hop, card.sample_rate, samples)


def join(parts: Sequence[Track]) -> Track:
    """Return the track of a recording whose parts, in order, these are."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    return Track(values, parts[0].hop, parts[0].rate, sum(part.samples for part in parts))
