"""Cards: what the models say about themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kws.card import replace
from kws.serve.http.house import House
from kws.session import Model


class Cards:
    """One for each model that hears."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def all(self, request: Request) -> Response:
        """Answer with each model's card, without its parts that are no text."""
        return JSONResponse([_card(model) for model in self._house.models])


def _card(model: Model) -> dict[str, Any]:
    card = replace(model.card, self_test=None, gate_model=None, network=None)
    return {"file": model.path.name, **msgspec.to_builtins(card)}
