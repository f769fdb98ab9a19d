"""Simulated streams: clips laid out in time, with the truth of where each word lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from kws.errors import AudioError, ConfigError, DataError
from kws.evaluate import truthfile
from kws.evaluate.corpus import speech_commands
from kws.evaluate.corpus.clipset import canonical
from kws.evaluate.corpus.reading import read, recordings_of
from kws.evaluate.corpus.speech_commands import NOISE, Clip
from kws.evaluate.match import Word
from kws.evaluate.protocols import SILENCE
from kws.evaluate.simulation.rooms import Response, read_rooms
from kws.evaluate.simulation.standard import FLOOR_DB, SNR_DB, gaps, standard
from kws.evaluate.simulation.tape import Tape
from kws.evaluate.truth import word_bounds
from kws.evaluate.truthfile import Truth
from kws.files import atomic_write
from kws.flow import Samples

RECIPES = ("clean", "standard")
Told = Callable[[str], None]


def clean(
    clips: Iterable[tuple[str, Samples]], rate: int, *, seed: int = 1
) -> Iterator[tuple[Samples, Word]]:
    """Yield the recipe `clean` piece by piece: each clip with the gap before it, and its truth.

    Gaps last 0.8 s plus an exponential with mean 1.2 s. `clips`: label and float32 [n].
    """
    rng = np.random.default_rng(seed)
    lengths = gaps(rng, rate)
    at = 0
    for label, clip in clips:
        gap = next(lengths)
        piece = rng.normal(0, 10 ** (FLOOR_DB / 20), gap + len(clip)).astype(np.float32)
        piece[gap:] += clip
        bounds = word_bounds(clip, rate)
        start, end = bounds or (0, len(clip))
        begin = at + gap
        yield piece, Word(label, (begin + start) / rate, (begin + end) / rate, bounds is not None)
        at += len(piece)


def build(
    out: Path,
    *,
    recipe: str,
    clips: Path,
    speech: Path | None = None,
    noise: Path | None = None,
    rooms: Path | None = None,
    split: str | None = None,
    seed: int = 1,
    rate: int = 16_000,
    snr_db: float = SNR_DB,
    told: Told | None = None,
) -> Truth:
    """Write a simulated stream and its truth; return the truth.

    out: .wav or .flac, 16 bit; the truth lies beside it, its suffix .json. recipe: `clean`, no
    noise and no room, or `standard`, see `standard.standard`. clips: label folders, each clip
    once; `_silence_` is no word. split: see `speech_commands.clips`. speech: recordings without
    keywords. noise: recordings of noise, else the corpus's own. rooms: see `read_rooms`. told:
    called with a line about each clip that can't be read and is left out, and about levels.

    The same seed and files give the same samples on every machine: audio is mixed in float64, so
    that no processor's way of adding reaches the 16 bits.
    Raises DataError: something is not there, or the stream can't be written. ConfigError: there
    is no such recipe, split or kind of file. AudioError: no background can be read.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"there is no recipe {recipe!r}; give {' or '.join(RECIPES)}")
    if out.suffix.lower() not in {".wav", ".flac"}:
        raise ConfigError(f"{out}: a simulated stream is a .wav or a .flac file")
    told = told or (lambda _: None)
    words = [c for c in speech_commands.clips(clips, split) if canonical(c.label) != SILENCE]
    order = np.random.default_rng(seed).permutation(len(words))
    reader = _Reader([words[place] for place in order], rate, told)
    if recipe == "clean":
        pieces = clean(reader, rate, seed=seed)
    else:
        pieces = standard(
            reader,
            rate,
            speech=Tape(_needed(speech, "speech"), rate, seed=seed + 1, told=told).take,
            noise=Tape(_needed(noise or _own(clips), "noise"), rate, seed=seed + 2, told=told).take,
            rooms=_rooms(rooms, rate),
            snr_db=snr_db,
            seed=seed,
            told=told,
        )
    unread = f"{clips}: none of the {len(words)} clips can be read"
    said, samples = _write(out, pieces, rate, told, unread)
    told_recipe = recipe if snr_db == SNR_DB else f"{recipe}, {snr_db:g} dB"
    made = truthfile.truth(said, samples / rate, recipe=told_recipe, seed=seed)
    named = zip(made.words, reader.names, strict=True)
    made = msgspec.structs.replace(
        made, words=[msgspec.structs.replace(word, clip=name) for word, name in named]
    )
    truthfile.write_truth(out.with_suffix(".json"), made)
    return made


@dataclass
class _Reader:
    """Clips, read one after another. names: of those that could be."""

    clips: Sequence[Clip]
    rate: int
    told: Told
    names: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, Samples]]:
        for clip in self.clips:
            try:
                samples = read(clip.path, self.rate)
            except AudioError as error:
                self.told(f"{error}; left out")
                continue
            self.names.append(clip.name)
            yield clip.label, samples


def _own(clips: Path) -> Path | None:
    return clips / NOISE if (clips / NOISE).is_dir() else None


def _needed(path: Path | None, what: str) -> list[Path]:
    if path is None:
        kind = "speech without keywords" if what == "speech" else what
        raise DataError(f"the recipe `standard` needs recordings of {kind}; give --{what} FOLDER")
    return recordings_of(path)


def _rooms(path: Path | None, rate: int) -> list[Response]:
    if path is None:
        raise DataError("the recipe `standard` needs room impulse responses; give --rooms FOLDER")
    return read_rooms(path, rate)


def _write(
    out: Path, pieces: Iterable[tuple[Samples, Word]], rate: int, told: Told, unread: str
) -> tuple[list[Word], int]:
    """Write pieces as they come; return the words and the count of samples.

    Raises DataError: it can't be written; or there are none, with the message `unread`.
    """
    import soundfile

    said, samples, clipped = [], 0, 0
    kind = out.suffix[1:].upper()
    try:
        with atomic_write(out) as partial:
            with soundfile.SoundFile(partial, "w", rate, 1, "PCM_16", format=kind) as file:
                for piece, word in pieces:
                    whole = np.rint(piece.astype(np.float64) * 32768)
                    clipped += int(np.count_nonzero((whole > 32767) | (whole < -32768)))
                    file.write(np.clip(whole, -32768, 32767).astype(np.int16))
                    said.append(word)
                    samples += len(piece)
            if not said:
                raise DataError(unread)
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{out}: can't be written ({error})") from None
    if clipped:
        told(f"{out}: {clipped} of {samples} samples clip")
    return said, samples
