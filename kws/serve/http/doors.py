"""Doors: who may ask: by this computer's own name, from no foreign web page, with the token."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from kws.serve.http.settings import Http

FORBIDDEN = 1008
"""What a WebSocket is closed with that was not let in."""


class Doors:
    """Lets through to `app` who may pass.

    A page of another site may point its own name at this computer: hence the host. A browser
    sends a foreign page's requests too, and tells whose they are: hence the origin.
    """

    def __init__(self, app: ASGIApp, settings: Http, token: str) -> None:
        self._app, self._settings, self._token = app, settings, token
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request in, or answer why not."""
        headers = Headers(scope=scope)
        try:
            self._check(headers)
        except HTTPException as error:
            await _refuse(error, scope, receive, send)
            return

        async def patiently(message: Message) -> None:
            await asyncio.wait_for(send(message), self._settings.timeout_s)

        try:
            await self._app(scope, receive, patiently)
        except (asyncio.TimeoutError, TimeoutError):  # it does not take what it asked for
            return

    def _check(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            raise HTTPException(421, "this is not the host that was asked for; see hosts")
        for origin in headers.getlist("origin"):
            same = origin.lower() in {
                f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")
            }
            if not same and origin not in self._settings.origins:
                raise HTTPException(403, "this web page may not ask; see origins")
        if self._token and not self._knows(headers.getlist("authorization")):
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # a number is nobody's name: nothing can be pointed elsewhere

    def _knows(self, given: list[str]) -> bool:
        scheme, _, word = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        right = hmac.compare_digest(word.strip().encode(), self._token.encode())
        return right and scheme.lower() == "bearer"


async def _refuse(error: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(FORBIDDEN, error.detail)(scope, receive, send)
    else:
        answer = JSONResponse({"error": error.detail}, error.status_code, error.headers)
        await answer(scope, receive, send)
