"""`kws train`: labels of your own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kws.errors import ConfigError
from kws.install_hint import missing_packages
from kws.terminal import options

if TYPE_CHECKING:
    import msgspec

BUNDLED = "bundled"
NEEDED = ("torch", "onnx", "tomli")
SAID = {"phrases": "phrase"}
"""Options that are called otherwise inside."""


def train(
    data: Annotated[
        str | None,
        typer.Argument(help="Recordings in label folders, Speech Commands, or a dataset's id."),
    ] = None,
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="What to go on from; a model file of ours, too."
        ),
    ] = BUNDLED,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where it is kept.")],
    phrase: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A word by its text alone.")
    ] = None,
    synthesise: Annotated[
        bool, typer.Option("--synthesise", help="Let machines say the recorded words, too.")
    ] = False,
    wake: Annotated[str | None, typer.Option(metavar="A,B", help="Which are wake words.")] = None,
    speech: Annotated[
        Path | None, typer.Option(metavar="DIR", help="People talking, without the words.")
    ] = None,
    noise: Annotated[Path | None, typer.Option(metavar="DIR", help="Noise and music.")] = None,
    rooms: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Room impulse responses.")
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(metavar="N", help="An hour, that thresholds are sought for; else 1."),
    ] = None,
    audio_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a dataset; else it is found.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a dataset; else it is found.")
    ] = None,
    speaker_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a dataset; else it is found.")
    ] = None,
    window_s: Annotated[
        float | None, typer.Option(metavar="S", help="Audio that is heard at a time.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="R", help="Learning rate of a checkpoint; else 5e-5.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Recordings a step; else 16.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How often all is heard.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of the processor; else all.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed, the same result.")] = 1,
    json: options.Json = False,
) -> None:
    """Teach a network your own words or sounds; run again after a kill, it goes on.

    From the bundled model, or one that went on from it: your words, from few recordings or their
    text alone, into DIR/checkpoint.pt. From a checkpoint of transformers: any labels, into DIR.
    Then `kws export`.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(missing_packages(missing, "train"))
    run = {"epochs": epochs, "threads": threads, "seed": seed}
    own: dict[str, Any] = {"wake": None if wake is None else options.parse_words(wake)}
    own |= {"speech": speech, "noise": noise, "rooms": rooms, "phrases": phrase}
    own |= {"synthesise": synthesise, "false_alarms": false_alarms}
    tuned: dict[str, Any] = {"audio_column": audio_column, "label_column": label_column}
    tuned |= {"speaker_column": speaker_column, "window_s": window_s, "rate": rate, "batch": batch}
    if source == BUNDLED or source.endswith(".onnx"):
        _refuse(f"--from {source}", tuned)
        start = None if source == BUNDLED else Path(source)
        _own(data, out, {**_given(own), **run, "start": start}, json=json)
    else:
        _refuse("a checkpoint of transformers", own)
        _finetune(data, source, out, {**_given(tuned), **run}, json=json)


def _own(data: str | None, out: Path, asked: dict[str, Any], *, json: bool) -> None:
    """Train a person's own words."""
    from export.training.own import own

    result = own.train(None if data is None else Path(data), out, own.Options(**asked), _say)
    _tell(result, result.lines(), f"kws export {out / 'checkpoint.pt'} -o mine.onnx", json=json)


def _finetune(
    data: str | None, source: str, out: Path, asked: dict[str, Any], *, json: bool
) -> None:
    """Fine-tune a checkpoint of transformers."""
    if data is None:
        raise ConfigError("name the recordings to learn from: kws train DATA --from CHECKPOINT")
    from export.training.finetuning import finetune, report
    from export.training.finetuning.options import Options

    found = finetune.finetune(data, source, out, Options(**asked), _say)
    then = f"kws export {out} -o mine.onnx --window-s {found.window_s:g}"
    _tell(found, report.lines(found), then, json=json)


def _refuse(where: str, options: dict[str, Any]) -> None:
    """Raise ConfigError where an option belongs to the other kind of training."""
    for name in _given(options):
        said = SAID.get(name, name.replace("_", "-"))
        raise ConfigError(f"--{said} makes no sense with {where}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given; the others have their own defaults."""
    return {
        name: value for name, value in options.items() if value is not None and value is not False
    }


def _say(text: str) -> None:
    print(f"kws: {text}", file=sys.stderr, flush=True)


def _tell(result: msgspec.Struct, lines: Iterable[str], then: str, *, json: bool) -> None:
    """Print the figures, and what to do next."""
    import msgspec

    from kws.terminal.lines import print_json

    if json:
        print_json(msgspec.to_builtins(result))
        return
    for line in lines:
        print(line)
    _say(f"next: {then}")
