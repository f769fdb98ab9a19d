"""Steps: work that stops where a model is to be run, so that one call can do for many streams."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from kws.flow import Samples

if TYPE_CHECKING:
    from kws.encoder import Encoder
    from kws.session import Model, State

MOST = 8
"""Streams in one call: more are no cheaper, and all of them wait for it."""


class Run(NamedTuple):
    """A call of a model that is wanted: see `Model.run`."""

    model: Model
    audio: Samples
    state: State

    def alone(self) -> Answer:
        """Do it, for this stream only."""
        return self.model.run(self.audio, self.state)


Answer: TypeAlias = "tuple[Samples, State]"
"""What a model returned: scores, and the state for the next call."""

Steps: TypeAlias = Generator[Run, Answer, None]


def alone(steps: Steps) -> None:
    """Do some work, one call after another. What a call fails with is raised where it was made."""
    run = _next(steps, None)
    while run is not None:
        run = _next(steps, _one(run))


def together(works: Sequence[Steps]) -> list[Exception | None]:
    """Do all works in turn, the calls of one model at once; return what each failed with.

    Heads on one encoder are one model. Where one fails the others notice nothing.
    """
    failed: list[Exception | None] = [None] * len(works)
    asked: dict[Model | Encoder, list[tuple[int, Run]]] = {}

    def go(number: int, answer: Answer | Exception | None) -> None:
        try:
            run = _next(works[number], answer)
        except Exception as error:  # noqa: BLE001 - whose work it is hears of it
            failed[number] = error
        else:
            if run is not None:
                asked.setdefault(run.model.encoder or run.model, []).append((number, run))

    for number in range(len(works)):
        go(number, None)
    while asked:
        # What most wait for: meanwhile more may come to wait for the others.
        network = max(asked, key=lambda network: len(asked[network]))
        for number, answer in _some(asked, network):
            go(number, answer)
    return failed


def _some(
    asked: dict[Model | Encoder, list[tuple[int, Run]]], network: Model | Encoder
) -> list[tuple[int, Answer | Exception]]:
    """Answer as many of those that wait for a model, or for an encoder, as one call can do for."""
    waiting = asked.pop(network)
    model = waiting[0][1].model
    size = MOST if model.takes_many else 1
    if model.encoder is None:
        batch, later = waiting[:size], waiting[size:]
    else:
        # The last come first: they ask about windows that the encoder still remembers.
        batch, later = waiting[-size:], waiting[:-size]
    if later:
        asked[network] = later
    answers = _answers([run for _, run in batch])
    return [(number, answer) for (number, _), answer in zip(batch, answers, strict=True)]


def _next(steps: Steps, answer: Answer | Exception | None) -> Run | None:
    """Go on with an answer, None at the beginning; return the next call, None: all is done."""
    try:
        if isinstance(answer, Exception):
            return steps.throw(answer)
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


def _answers(runs: list[Run]) -> list[Answer | Exception]:
    """Answer calls of one model, or of one encoder's heads; at once, where that succeeds."""
    if len(runs) > 1:
        model = runs[0].model
        try:
            if model.encoder is None:
                return list(_at_once(model, runs))
            # It remembers them; each head's own part is small.
            model.encoder.features(np.concatenate([run.audio for run in runs]))
        except Exception:  # noqa: BLE001, S110 - each alone tells whose trouble it is
            pass
    return [_one(run) for run in runs]


def _one(run: Run) -> Answer | Exception:
    try:
        return run.alone()
    except Exception as error:  # noqa: BLE001 - whose call it is hears of it
        return error


def _at_once(model: Model, runs: list[Run]) -> list[Answer]:
    audio = np.concatenate([run.audio for run in runs])
    state = [np.concatenate(tensors) for tensors in zip(*(run.state for run in runs), strict=True)]
    scores, after = model.run(audio, state)
    # Copied, or what one stream keeps would hold on to all others'.
    return [
        (scores[n : n + 1], [tensor[n : n + 1].copy() for tensor in after])
        for n in range(len(runs))
    ]
