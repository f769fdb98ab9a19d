"""`kws export`: a checkpoint becomes a model file."""

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
    from kws.origin import Parity

NEEDED = ("torch", "onnx")


def export(
    source: Annotated[
        str, typer.Argument(help="A folder or file with a checkpoint, or a Hub id: owner/name.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")],
    *,
    quantize: Annotated[str, typer.Option(metavar="int8|none", help="How weights are kept.")] = (
        "int8"
    ),
    window_s: Annotated[
        float | None, typer.Option(metavar="S", help="Audio that is heard at a time.")
    ] = None,
    hop_s: Annotated[
        float | None, typer.Option(metavar="S", help="How often, while listening.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="window|stream", help="For a network that can be both."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B", help="What a zero-shot model is to tell apart.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its sentence, {} for the label.")
    ] = None,
    wake: Annotated[
        str | None, typer.Option(metavar="A,B", help="Labels that are wake words.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(metavar="A,B", help="Labels that are no keywords.")
    ] = None,
    gate: options.Gate = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recordings to quantize and compare with."),
    ] = None,
    via: Annotated[
        str | None, typer.Option(metavar="optimum|torch", help="Which exporter to use.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write a file that differs from its source.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Make one quantized file of a checkpoint, and prove it equal to the original.

    Whisper, AST, wav2vec2 and its kin, CLAP, x-vectors. The file holds its own front end and
    card: `kws listen --model FILE`.
    """
    for name, value, known in (
        ("--quantize", quantize, ("int8", "none")),
        ("--kind", kind, (None, "window", "stream")),
        ("--via", via, (None, "optimum", "torch")),
    ):
        if value not in known:
            raise ConfigError(f"{name} {value}: there are {' and '.join(filter(None, known))}")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExportError(missing_packages(missing, "export"))
    from export import exporter
    from export.describe import Use
    from export.families import Asked

    card = exporter.export(
        source,
        out,
        exporter.Options(
            quantize,  # type: ignore[arg-type]
            via,  # type: ignore[arg-type]
            Asked(tuple(_words(labels)) or None, template, kind),  # type: ignore[arg-type]
            Use(window_s, hop_s, _words(wake), _words(background), gate),
            calibration,
            overwrite=overwrite,
            force=force,
        ),
        lambda text: print(f"kws: {text}", file=sys.stderr),
    )
    _tell(card, out, json=json)


def _words(text: str | None) -> list[str]:
    return [] if text is None else options.parse_words(text)


def _tell(card: Card, out: Path, *, json: bool) -> None:
    """Print what was proven."""
    import msgspec

    from kws.terminal.lines import print_json

    parity = card.parity
    if parity is None:
        return
    if json:
        print_json({"file": str(out), "parity": msgspec.to_builtins(parity)})
        return
    unit = "of probability" if card.labels else "of the largest value"
    print(f"{'':8} {'MB':>8} {'ms a window':>12}  {'right':>7}")
    for variant in parity.variants:
        right = "" if variant.accuracy is None else f"{variant.accuracy:7.1%}"
        print(f"{variant.name:8} {variant.bytes / 1e6:8.1f} {variant.ms:12.2f}  {right}")
    print(f"float32 differs from the source by {parity.max_difference:.1e} {unit} at most")
    if parity.quantized_difference is not None:
        print(
            f"int8 differs from float32 by {parity.quantized_difference:.1e}, and agrees on "
            f"{parity.top1_agreement:.1%} of {parity.clips} clips{_decided(parity)}"
        )
    if card.keywords and not card.thresholds:
        print(
            "kws: its thresholds are 0.5, not calibrated; better ones are found by "
            "`kws eval --target-fa` and `kws tune`",
            file=sys.stderr,
        )
    print(f"{out}: {len(card.labels)} labels, {_seconds(card)}{_forced(card)}")


def _decided(parity: Parity) -> str:
    if parity.top1_agreement == 1 or not parity.decided or parity.decided_agreement is None:
        return ""
    return f", on {parity.decided_agreement:.1%} of the {parity.decided} that float32 is sure of"


def _seconds(card: Card) -> str:
    rate = card.sample_rate
    return f"hears {card.window / rate:g} s every {1000 * card.hop / rate:.0f} ms"


def _forced(card: Card) -> str:
    forced = card.parity is not None and card.parity.forced
    return "; NOT faithful to its source, written by --force" if forced else ""
