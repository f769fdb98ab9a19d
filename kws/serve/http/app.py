"""App: all routes behind the doors; whatever goes wrong is answered in one line."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from kws.serve.http.assets import assets
from kws.serve.http.cards import Cards
from kws.serve.http.classify import Classify
from kws.serve.http.describe import openapi
from kws.serve.http.doors import Doors
from kws.serve.http.events import Events
from kws.serve.http.house import House
from kws.serve.http.listen import Listen
from kws.serve.http.live import Live
from kws.serve.http.metrics import Metrics
from kws.serve.http.recordings import Recordings
from kws.serve.http.settings import Http
from kws.serve.http.state import State
from kws.serve.http.thresholds import Thresholds
from kws.serve.seldom import Seldom


def app(house: House, settings: Http, token: str) -> ASGIApp:
    """Return what answers all requests."""
    events, state, page = Events(house), State(house), assets()
    thresholds, recordings = Thresholds(house), Recordings(house)
    routes = [
        *page,
        Route("/openapi.json", openapi),
        Route("/healthz", state.healthz),
        Route("/metrics", Metrics(house).text),
        Route("/v1/classify", Classify(house).answer, methods=["POST"]),
        Route("/v1/playback", state.playback, methods=["POST"]),
        Route("/v1/events", events.sse),
        Route("/v1/live", Live(house).sse),
        Route("/v1/models", Cards(house).all),
        Route("/v1/thresholds", thresholds.answer, methods=["GET", "POST"]),
        Route("/v1/detections", recordings.heard),
        Route("/v1/recordings/{recording_id}", recordings.audio),
        WebSocketRoute("/v1/events/ws", events.websocket),
        WebSocketRoute("/v1/listen", Listen(house).websocket),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
    )
    inner = Starlette(
        routes=routes,
        middleware=[cors],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    return Doors(inner, settings, token, free=frozenset(route.path for route in page))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's types are too wide
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


_FAILURES = Seldom()


def _failed(request: Request, error: Exception) -> Response:
    _FAILURES.say("error", f"http: {request.url.path}: {type(error).__name__}: {error}")
    return JSONResponse({"error": "something went wrong in here; see the log"}, 500)
