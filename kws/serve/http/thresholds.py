"""Thresholds: which hold now; and others from now on."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kws.errors import ConfigError
from kws.serve.http.classify import whole
from kws.serve.http.house import House

LONGEST = 100_000
"""A body's most bytes."""

Levels = Annotated[dict[str, Annotated[float, Meta(ge=0, le=1)]], Meta(min_length=1)]


class Changed(msgspec.Struct, frozen=True, tag_field="type", tag="thresholds"):
    """Somebody has changed thresholds; these hold now."""

    thresholds: dict[str, float]


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
        return JSONResponse(
            {
                "thresholds": dict(built.levels),
                "kept_in": str(built.kept),
                "set_by_config": built.fixed,
                "note": note,
            }
        )

    async def _change(self, request: Request) -> str | None:
        """Let thresholds hold, and keep them for the next start; return why they are not kept."""
        body = await whole(request, LONGEST, self._house.settings.timeout_s)
        try:
            said = msgspec.json.decode(body, type=dict[str, Any])
            inner = said.get("thresholds")  # as GET answers, else the levels alone
            wanted = msgspec.convert(inner if isinstance(inner, dict) else said, Levels)
        except msgspec.MsgspecError as error:
            raise HTTPException(422, f"the request makes no sense: {error}") from None
        try:
            changed = await asyncio.wrap_future(self._house.retune(wanted))
        except ConfigError as error:
            raise HTTPException(422, str(error)) from None
        self._house.live.tell(Changed(changed.levels))
        return changed.note
