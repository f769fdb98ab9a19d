"""Assets: the page that people look at, and what it is made of."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("page")
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
SHUT = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; media-src blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def assets() -> list[Route]:
    """Return a route for each file of the page; no request names any other file."""
    files = [path for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS]
    return [_route(path) for path in files]


def _route(path: Path) -> Route:
    content, kind = path.read_bytes(), KINDS[path.suffix]

    async def answer(request: Request) -> Response:
        return Response(content, headers=SHUT, media_type=kind)

    return Route("/" if path.name == "index.html" else f"/page/{path.name}", answer)
