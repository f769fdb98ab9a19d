"""Thresholds: which hold now; and others from now on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kws.errors import ConfigError
from kws.event_json import Changed
from kws.keyword_levels import LevelRequest, by_keyword
from kws.origin import Strict
from kws.serve.http.classify import whole
from kws.serve.http.house import House
from kws.serve.retune import levels_now

LONGEST = 100_000
"""A body's most bytes."""

ByKeyword = Annotated[dict[str, Annotated[float, Meta(ge=0, le=1)]], Meta(min_length=1)]
Sensitivities = Annotated[dict[str, Annotated[float, Meta(ge=0, le=100)]], Meta(min_length=1)]


class Wanted(Strict, frozen=True):
    """What a request may ask for, by keyword.

    Both for the same keyword: the one that differs from what holds now. Two that differ and
    contradict each other are refused.
    The others are what GET answers beside them; they change nothing.
    """

    thresholds: ByKeyword | msgspec.UnsetType = msgspec.UNSET
    sensitivity: Sensitivities | msgspec.UnsetType = msgspec.UNSET
    kept_in: str | None = None
    set_by_config: tuple[str, ...] = ()
    note: str | None = None


class Thresholds:
    """For all microphones alike."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def answer(self, request: Request) -> Response:
        """Answer with those that hold, and where they are kept; before that, POST changes them.

        It takes levels by keyword, and what GET answers, too.
        """
        note = await self._change(request) if request.method == "POST" else None
        built = self._house.built
        thresholds, sensitivity = levels_now(built)
        return JSONResponse(
            {
                "thresholds": thresholds,
                "sensitivity": sensitivity,
                "kept_in": str(built.kept),
                "set_by_config": built.fixed,
                "note": note,
            }
        )

    async def _change(self, request: Request) -> str | None:
        """Let thresholds hold, and keep them for the next start; return why they are not kept."""
        body = await whole(request, LONGEST, self._house.settings.timeout_s)
        try:
            wanted = _wanted(body)
        except msgspec.MsgspecError as error:
            raise HTTPException(422, f"the request makes no sense: {error}") from None
        try:
            changed = await asyncio.wrap_future(self._house.retune(wanted))
        except ConfigError as error:
            raise HTTPException(422, str(error)) from None
        self._house.live.tell(
            Changed(thresholds=changed.thresholds, sensitivity=changed.sensitivity)
        )
        return changed.note


def _wanted(body: bytes) -> LevelRequest:
    """Return what a body asks for: thresholds by keyword, or `Wanted`. Raises MsgspecError."""
    said = msgspec.json.decode(body)
    if not (isinstance(said, dict) and any(isinstance(each, dict) for each in said.values())):
        return LevelRequest(msgspec.json.decode(body, type=ByKeyword))
    wanted = msgspec.json.decode(body, type=Wanted)
    levels, eager = (
        {} if each is msgspec.UNSET else each for each in (wanted.thresholds, wanted.sensitivity)
    )
    return by_keyword([], threshold=levels, sensitivity=eager)
