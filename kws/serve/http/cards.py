"""Cards: what the models say about themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kws.card import Card, replace
from kws.serve.http.house import House
from kws.session import Model
from kws.verification import joint_cards


class Cards:
    """One for each model that hears."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def all(self, request: Request) -> Response:
        """Answer with each model's card, without its parts that are no text.

        With a verifier, thresholds and operating points are those of the two together.
        """
        built = self._house.built
        cards = joint_cards(built.models, built.verifier)
        given = [_card(*pair) for pair in zip(built.models, cards, strict=True)]
        if built.verifier is not None:
            given = [{**each, "verifier": built.verifier.model.path.name} for each in given]
        return JSONResponse(given)


def _card(model: Model, card: Card) -> dict[str, Any]:
    plain = replace(card, self_test=None, gate_model=None, network=None)
    return {"file": model.path.name, **msgspec.to_builtins(plain)}
