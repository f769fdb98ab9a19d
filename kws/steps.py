"""Steps: work that stops where a model is to be run, so that one call can do for many streams."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from kws.flow import Samples

if TYPE_CHECKING:
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

    Where one fails the others notice nothing.
    """
    failed: list[Exception | None] = [None] * len(works)
    asked: dict[Model, list[tuple[int, Run]]] = {}

    def go(number: int, answer: Answer | Exception | None) -> None:
        try:
            run = _next(works[number], answer)
        except Exception as error:  # noqa: BLE001 - whose work it is hears of it
            failed[number] = error
        else:
            if run is not None:
                asked.setdefault(run.model, []).append((number, run))

    for number in range(len(works)):
        go(number, None)
    while asked:
        # The model that most wait for: meanwhile more may come to wait for the others.
        model = max(asked, key=lambda model: len(asked[model]))
        waiting = asked.pop(model)
        size = MOST if model.takes_many else 1
        for at in range(0, len(waiting), size):
            batch = waiting[at : at + size]
            answers = _answers(model, [run for _, run in batch])
            for (number, _), answer in zip(batch, answers, strict=True):
                go(number, answer)
    return failed


def _next(steps: Steps, answer: Answer | Exception | None) -> Run | None:
    """Go on with an answer, None at the beginning; return the next call, None: all is done."""
    try:
        if isinstance(answer, Exception):
            return steps.throw(answer)
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


def _answers(model: Model, runs: list[Run]) -> list[Answer | Exception]:
    """Run a model for each; at once, where that succeeds."""
    if len(runs) > 1:
        try:
            return list(_at_once(model, runs))
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
