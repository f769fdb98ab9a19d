"""Doors: who may ask: by this computer's own name, from no foreign web page, with the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kws.serve.http.settings import Http

HOST = re.compile(r"(?:\[([\da-f:.]+)\]|([^\s\[\]@:/?#]+))(?::\d*)?", re.IGNORECASE)
"""A name or an address, an IPv6 address in brackets; and perhaps a port."""


class Doors:
    """Lets through to `app` who may pass.

    A page of another site may point its own name at this computer: hence the host. A browser
    sends a foreign page's requests too, and tells whose they are: hence the origin.
    free: paths for which nobody needs the token: a browser can't give it with an address.
    """

    def __init__(
        self, app: ASGIApp, settings: Http, token: str, free: Collection[str] = ()
    ) -> None:
        self._app, self._settings, self._token, self._free = app, settings, token, free
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request in, or answer why not."""
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except HTTPException as error:
            answer = JSONResponse({"error": error.detail}, error.status_code, error.headers)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if "transfer-encoding" in headers and "content-length" in headers:
            raise HTTPException(400, "how long is the body?", {"Connection": "close"})
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            raise HTTPException(421, "this is not the host that was asked for; see hosts")
        own = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        foreign = any(each.lower() not in own for each in origins)
        if any(each.lower() not in own and each not in self._settings.origins for each in origins):
            raise HTTPException(403, "this web page may not ask; see origins")
        if not origins and _embedded(headers):
            raise HTTPException(403, "web pages of others may not ask")
        first = foreign and scope.get("method") == "OPTIONS"  # a browser asks whether it may
        free = first or scope["path"] in self._free
        if self._token and not free and not self._knows(headers.getlist("authorization")):
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    def _is_own(self, host: str) -> bool:
        if (found := HOST.fullmatch(host)) is None:
            return False
        name = (found[1] or found[2]).lower()
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


def _embedded(headers: Headers) -> bool:
    """Whether a page of another site has this as a picture or the like: no link was followed."""
    foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return foreign and headers.get("sec-fetch-mode") != "navigate"
