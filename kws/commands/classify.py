"""`kws classify`: which word a recording is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import AudioError
from kws.terminal import options
from kws.text import one_line

if TYPE_CHECKING:
    from kws.session import Model


def classify(
    audio: Annotated[list[str], typer.Argument(help="Recordings of one word each; `-` is stdin.")],
    *,
    model: Annotated[str | None, typer.Option(metavar="FILE", help="A model file.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to tell.")] = 5,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Tell the network's embedding instead of labels.")
    ] = False,
    verify: options.Verify = None,
    json: options.Json = False,
) -> None:
    """Tell which word each recording is.

    A recording may be of any length, and the word may lie anywhere in it. The labels with the
    highest scores at its clearest moment are told. `kws spot` finds every word of several.
    """
    from kws.session import load

    loaded = load(model)
    fine = [
        _embed(name, loaded, json=json)
        if embedding
        else _classify(name, loaded, top, verify, json=json)
        for name in audio
    ]
    if not all(fine):
        raise typer.Exit(AudioError.exit_code)


def _classify(name: str, model: Model, top: int, verify: str | None, *, json: bool) -> bool:
    """Print a recording's scores; return whether it could be read."""
    import kws
    from kws.terminal.lines import print_json

    try:
        ranked = kws.classify(name, model=model, top=top, verify=verify)
    except AudioError as error:  # the other recordings may be fine
        print(f"kws: {one_line(str(error))}", file=sys.stderr)
        return False
    if json:
        scores = [{"label": label, "score": round(float(score), 6)} for label, score in ranked]
        print_json({"audio": name, "scores": scores})
    else:
        words = "  ".join(f"{label} {score:.3f}" for label, score in ranked)
        print(one_line(f"{name}: {words}"), flush=True)
    return True


def _embed(name: str, model: Model, *, json: bool) -> bool:
    """Print a recording's embedding; return whether it could be read."""
    from kws.terminal.lines import print_json
    from kws.word_search import embed

    try:
        values = [round(value, 6) for value in embed(name, model).tolist()]
    except AudioError as error:
        print(f"kws: {one_line(str(error))}", file=sys.stderr)
        return False
    if json:
        print_json({"audio": name, "embedding": values})
    else:
        print(f"{one_line(name)}: {' '.join(f'{value:g}' for value in values)}", flush=True)
    return True
