"""Describe: what can be asked, for programs and for people."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import kws

LABELS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
TOP_K = {"type": "integer", "minimum": 1, "default": 5}
ASKED = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "string", "contentEncoding": "base64"},
        "parameters": {
            "type": "object",
            "properties": {
                "top_k": TOP_K,
                "function_to_apply": {"enum": ["sigmoid", "softmax", "none"]},
            },
        },
    },
}
SPEAKER = {
    "type": "object",
    "required": ["on"],
    "properties": {"on": {"type": "boolean"}},
    "additionalProperties": False,
}
BINARY = {"type": "string", "format": "binary"}


def _route(
    summary: str,
    answer: dict[str, Any],
    *,
    body: dict[str, Any] | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    other: dict[str, str] | None = None,
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": answer}}
    for code, text in {"503": "Too many ask at once", **(other or {})}.items():
        responses[code] = {"description": text}
    responses["4XX"] = {"description": "Why not", "content": _json(ERROR)}
    route: dict[str, Any] = {"summary": summary, "responses": responses}
    if query:
        route["parameters"] = [
            {"name": name, "in": "query", "schema": schema} for name, schema in query.items()
        ]
    if body:
        route["requestBody"] = {"required": True, "content": body}
    return route


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


PATHS: dict[str, dict[str, Any]] = {
    "/v1/classify": {
        "post": _route(
            "Which word a recording (WAV, FLAC, Ogg) is, as the Hugging Face inference API says it",
            _json(LABELS),
            body={"application/octet-stream": {"schema": BINARY}, **_json(ASKED)},
            query={"top_k": TOP_K, "model": {"type": "string"}},
        )
    },
    "/v1/events": {
        "get": _route(
            "What happens, as server-sent events; WebSockets: /v1/events/ws, /v1/listen?rate=16000",
            {"text/event-stream": {"schema": {"type": "string"}}},
        )
    },
    "/v1/playback": {
        "post": _route(
            "Tell that the own speaker begins or ends to talk", _json(SPEAKER), body=_json(SPEAKER)
        )
    },
    "/healthz": {
        "get": _route(
            "How well each microphone hears",
            _json({"type": "object"}),
            other={"503": "A microphone is deaf"},
        )
    },
    "/metrics": {
        "get": _route("Figures for Prometheus", {"text/plain": {"schema": {"type": "string"}}})
    },
}

SHUT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:45em;margin:2em auto;padding:0 1em}code{font-size:1em}"
)


async def openapi(request: Request) -> Response:
    """Answer with the OpenAPI description."""
    info = {"title": "kws", "version": kws.__version__, "description": "A keyword spotter."}
    return JSONResponse({"openapi": "3.1.0", "info": info, "paths": PATHS})


async def page(request: Request) -> Response:
    """Answer with the same for people: nothing on it is fetched from elsewhere."""
    found = [
        f"<dt><code>{method.upper()} {path}</code><dd>{escape(route['summary'])}."
        for path, methods in PATHS.items()
        for method, route in methods.items()
    ]
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>kws</title><style>{STYLE}</style>"
        f"<h1>kws {escape(kws.__version__)}</h1><dl>{''.join(found)}</dl>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</html>'
    )
    return HTMLResponse(text, headers=SHUT)
