"""Recordings: the last words that were heard, and the audio that was kept of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kws.files import read_regular
from kws.serve.http.house import House

LONGEST = 20_000_000
"""Bytes of a recording at most: nothing that is kept here is as long."""


class Recordings:
    """Audio is asked for by a name that was given out here; no request names a file."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def heard(self, request: Request) -> Response:
        """Answer with the last words, the newest first."""
        return Response(msgspec.json.encode(self._house.shelf.words), media_type="application/json")

    async def audio(self, request: Request) -> Response:
        """Answer with a word's recording, as FLAC."""
        path = self._house.shelf.path(request.path_params["recording_id"])
        if path is None:
            raise HTTPException(404, "there is no such recording")
        content = await self._house.reading.do(lambda: _content(path))
        if content is None:
            raise HTTPException(404, "it is not written yet, or was deleted")
        still = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=still, media_type="audio/flac")


def _content(path: Path) -> bytes | None:
    """Return what a file holds; None: it is not there."""
    try:
        return read_regular(path, LONGEST)
    except OSError:
        return None
