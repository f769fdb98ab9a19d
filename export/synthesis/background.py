"""A little speech that holds none of the phrases: everyday sentences, synthesised."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from export.synthesis.nearmisses import holding
from export.synthesis.pronunciation import words
from export.synthesis.renderings import everyone, manners, spoken
from export.synthesis.speaking import RATE, Samples
from kws.errors import DataError

SENTENCES = Path(__file__).with_name("sentences.txt")

_BATCH = 16


def sentences(without: Collection[str] = ()) -> list[str]:
    """Return everyday sentences in which none of the phrases `without` is said, nor a homophone."""
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    for phrase in without:
        kept = _lacking(kept, phrase)
    return kept


def speech(seconds: float, seed: int = 1, without: Collection[str] = ()) -> list[Samples]:
    """Return at least `seconds` of sentences that say none of the phrases `without`.

    Each is float32 [n] at 16 kHz; all of them come once before one comes again, in another
    voice. The same seed gives the same. Raises DataError: no synthesiser is here, or all sentences
    hold a phrase.
    """
    texts = sentences(without)
    if not texts:
        raise DataError("every sentence holds one of the phrases: give recordings of speech")
    voices = everyone()
    rng = np.random.default_rng(seed)
    waiting: list[str] = []
    heard: list[Samples] = []
    while sum(map(len, heard)) < seconds * RATE:
        if len(waiting) < _BATCH:
            waiting += [texts[number] for number in rng.permutation(len(texts))]
        ways = manners(voices, _BATCH, int(rng.integers(2**31)))
        answers = spoken((text, *way) for text, way in zip(waiting, ways, strict=False))
        del waiting[:_BATCH]
        said = [answer for answer in answers if not isinstance(answer, DataError)]
        if not said:
            raise DataError(f"no voice can say the sentences: {answers[0]}")
        heard += said
    return heard


def _lacking(texts: list[str], phrase: str) -> list[str]:
    """Return the texts in which no run of as many words as the phrase has says it."""
    count = len(words(phrase))
    runs = {text: _runs(words(text), count) for text in texts}
    every = sorted({run for ours in runs.values() for run in ours})
    saying = {run for run, same in zip(every, holding(every, phrase), strict=True) if same}
    return [text for text in texts if not saying.intersection(runs[text])]


def _runs(spoken_words: list[str], count: int) -> list[str]:
    return [
        " ".join(spoken_words[start : start + count])
        for start in range(len(spoken_words) - count + 1)
    ]
