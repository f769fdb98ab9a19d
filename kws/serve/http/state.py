"""State: how well it hears, and that the own speaker talks."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kws.serve.http.classify import whole
from kws.serve.http.house import House

SHORT = 1_000
"""A short body's most bytes."""
WORST = ("deaf", "degraded", "ok")


class Speaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the own speaker talks."""

    on: bool


class State:
    """What can be asked, and told, of the daemon."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def healthz(self, request: Request) -> Response:
        """Answer 503 where a microphone is deaf."""
        now = time.monotonic()
        found: dict[str, dict[str, Any]] = {}
        for name, vital in self._house.ears.vitals:
            state, reasons = vital.health(now)
            found[name] = {
                "status": state,
                "reasons": reasons,
                "frame_age_s": _age(vital.tally.heard_at, now),
                "inference_age_s": _age(vital.tally.inferred_at, now),
            }
        states = {each["status"] for each in found.values()}
        none = "deaf" if self._house.built.config.microphone else "ok"
        worst = next((state for state in WORST if state in states), none)
        code = 503 if worst == "deaf" else 200
        return JSONResponse({"status": worst, "microphones": found}, code)

    async def playback(self, request: Request) -> Response:
        """Take note that the own speaker begins or ends to talk."""
        body = await whole(request, SHORT, self._house.settings.timeout_s)
        try:
            told = msgspec.json.decode(body, type=Speaker)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise HTTPException(422, f"the request makes no sense: {error}") from None
        self._house.playback(told.on)
        return JSONResponse({"on": told.on})


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else round(max(0.0, now - at), 3)
