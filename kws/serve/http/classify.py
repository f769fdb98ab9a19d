"""Classify: a recording in, labels with scores out, as clients of Hugging Face expect it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from kws.clip_verification import clip_verifier
from kws.errors import KwsError
from kws.flow import Block
from kws.serve.http.clip import decode
from kws.serve.http.house import House
from kws.session import Model
from kws.verification import VerifierConfig
from kws.word_search import find_word

TOP = 5
WAITING = 8
"""So many may wait for their turn; more are told to come again."""
PATIENCE = 4
"""A body that is too long is heard out up to so many times the limit: who is cut off in the middle
of a sentence does not learn why."""


class Parameters(msgspec.Struct, frozen=True):
    """What a client may ask for; the rest is not for this task, and passed over."""

    top_k: Annotated[int, Meta(ge=1)] | None = None
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None


class Asked(msgspec.Struct, frozen=True):
    """A recording as base64, and what is asked of it."""

    inputs: str
    parameters: Parameters | None = None


class Classify:
    """Scores one recording at a time, on a thread that makes way for the microphones'."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._waiting = 0

    @property
    def _verifier(self) -> VerifierConfig | None:
        return self._house.built.verifier

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        if self._waiting > WAITING:
            raise HTTPException(503, "too many ask at once", {"Retry-After": "1"})
        self._waiting += 1
        try:
            body = await whole(
                request, self._house.settings.most_bytes, self._house.settings.timeout_s
            )
            query = dict(request.query_params)
            return JSONResponse(await self._house.classifying.do(partial(self._score, body, query)))
        finally:
            self._waiting -= 1

    def _score(self, body: bytes, query: dict[str, str]) -> list[dict[str, Any]]:
        try:
            clip, wanted = _parts(body, query)
            model = _named(self._house.models, query.get("model"))
            if wanted.function_to_apply not in {None, model.card.activation}:
                raise HTTPException(422, f"this model's scores are of {model.card.activation}")
            rate = model.card.sample_rate
            samples = decode(clip, rate, self._house.settings.clip_s)
            judge = clip_verifier(model, second.model) if (second := self._verifier) else None
            scores = find_word(model, [Block(samples, 0, rate)], verify=judge).tolist()
        except KwsError as error:
            raise HTTPException(422, str(error)) from None
        pairs = sorted(zip(model.labels, scores, strict=True), key=lambda pair: -pair[1])
        return [{"label": name, "score": score} for name, score in pairs[: wanted.top_k or TOP]]


async def whole(request: Request, most: int, timeout_s: float) -> bytes:
    """Return a request's body. Raises HTTPException: it is too long, or takes too long."""

    async def read() -> bytes:
        body, length = bytearray(), 0
        try:
            async for part in request.stream():
                length += len(part)
                if length <= most:
                    body += part
                elif length > PATIENCE * most:
                    break
            if length > most:
                last = {"Connection": "close"}
                raise HTTPException(413, f"the body is longer than {most} bytes", last)
            return bytes(body)
        finally:
            body.clear()  # an error may keep it for long

    try:
        return await asyncio.wait_for(read(), timeout_s)
    except (asyncio.TimeoutError, TimeoutError):
        late = {"Connection": "close"}
        raise HTTPException(408, f"the body did not come within {timeout_s:g} s", late) from None
    except ClientDisconnect:
        raise HTTPException(400, "the client left") from None


def _parts(body: bytes, query: dict[str, str]) -> tuple[bytes, Parameters]:
    """Return the recording, and what is asked of it. Raises HTTPException."""
    given = {key: query[key] for key in Parameters.__struct_fields__ if key in query}
    try:
        wanted = msgspec.convert(given, Parameters, strict=False)
        if body[:1].strip() not in {b"{", b""}:
            return body, wanted
        asked = msgspec.json.decode(body, type=Asked)
        clip = base64.b64decode(
            asked.inputs.partition(";base64,")[2] or asked.inputs, validate=True
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HTTPException(422, f"the request makes no sense: {error}") from None
    except (binascii.Error, ValueError):
        raise HTTPException(422, "inputs: is no base64") from None
    return clip, asked.parameters or wanted


def _named(models: list[Model], name: str | None) -> Model:
    for model in models:
        if model.labels and name in {None, model.name}:
            return model
    raise HTTPException(404, "there is no such model" if name else "no model here has labels")
