"""Describe: what can be asked, for programs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import kws
from kws.event_json import json_schema

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
LEVELS = {
    "type": "object",
    "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
}
SOME_LEVELS = {**LEVELS, "minProperties": 1}
SENSITIVITY = {
    "type": "object",
    "additionalProperties": {"type": "number", "minimum": 0, "maximum": 100},
}
TUNING = {
    "anyOf": [
        SOME_LEVELS,
        {
            "type": "object",
            "anyOf": [{"required": ["thresholds"]}, {"required": ["sensitivity"]}],
            "properties": {
                "thresholds": SOME_LEVELS,
                "sensitivity": {**SENSITIVITY, "minProperties": 1},
            },
        },
    ]
}
TUNED = {
    "type": "object",
    "required": ["thresholds", "sensitivity", "kept_in", "set_by_config", "note"],
    "properties": {
        "thresholds": LEVELS,
        "sensitivity": SENSITIVITY,
        "kept_in": {"type": "string"},
        "set_by_config": {"type": "array", "items": {"type": "string"}},
        "note": {"type": ["string", "null"]},
    },
}
DETECTIONS = {"type": "array", "items": json_schema()["$defs"]["detection"]}
OBJECTS = {"type": "array", "items": {"type": "object"}}
BINARY = {"type": "string", "format": "binary"}


def _route(
    summary: str,
    answer: dict[str, Any],
    *,
    body: dict[str, Any] | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    path: str | None = None,
    other: dict[str, str] | None = None,
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": answer}}
    for code, text in {"503": "Too many ask at once", **(other or {})}.items():
        responses[code] = {"description": text}
    responses["4XX"] = {"description": "Why not", "content": _json(ERROR)}
    route: dict[str, Any] = {"summary": summary, "responses": responses}
    named: list[dict[str, Any]] = [
        {"name": name, "in": "query", "schema": schema} for name, schema in (query or {}).items()
    ]
    if path:
        named.append({"name": path, "in": "path", "required": True, "schema": {"type": "string"}})
    if named:
        route["parameters"] = named
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
    "/v1/live": {
        "get": _route(
            "Levels and scores ten times a second, and what happens, as server-sent events",
            {"text/event-stream": {"schema": {"type": "string"}}},
        )
    },
    "/v1/thresholds": {
        "get": _route(
            "How sure it must be of each keyword, 0 to 1, and the same as a sensitivity, 0 to 100",
            _json(TUNED),
        ),
        "post": _route(
            "Let these thresholds or sensitivities hold from now on, and keep them; of both for a "
            "keyword the one that differs from what holds",
            _json(TUNED),
            body=_json(TUNING),
        ),
    },
    "/v1/models": {"get": _route("What the models say about themselves", _json(OBJECTS))},
    "/v1/detections": {
        "get": _route("The last words that were heard, the newest first", _json(DETECTIONS))
    },
    "/v1/recordings/{recording_id}": {
        "get": _route(
            "A word's audio, by its detection's recording_id",
            {"audio/flac": {"schema": BINARY}},
            path="recording_id",
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


async def openapi(request: Request) -> Response:
    """Answer with the OpenAPI description."""
    info = {"title": "kws", "version": kws.__version__, "description": "A keyword spotter."}
    return JSONResponse({"openapi": "3.1.0", "info": info, "paths": PATHS})
