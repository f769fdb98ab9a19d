# ruff: noqa: RUF001  phonetic symbols look like letters
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
SAID = {"phrases": "phrase", "pronunciations": "say"}
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
            "--from", metavar="CHECKPOINT", help="A checkpoint of transformers to go on from."
        ),
    ] = BUNDLED,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="The model file; of a checkpoint, a folder."
        ),
    ] = None,
    phrase: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A word that voices say.")
    ] = None,
    say: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT=PHONEMES", help="How a phrase is said, in Misaki's symbols."),
    ] = None,
    synthesise: Annotated[
        bool | None,
        typer.Option(
            "--synthesise/--no-synthesise",
            help="Let voices say the recorded words, too; else where there are under 10 of them.",
        ),
    ] = None,
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
    """Teach kws your own words, or a network your sounds; run again after a kill, it goes on.

    Your words, from three recordings on, or from their text alone (`kws voices`), become a model
    file for `kws listen --model`; what was computed stays beside it. With --from, a checkpoint of
    transformers learns any labels, into a folder, for `kws export`.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(missing_packages(missing, "train"))
    run = {"threads": threads, "seed": seed}
    own: dict[str, Any] = {"wake": None if wake is None else options.parse_words(wake)}
    own |= {"speech": speech, "noise": noise, "rooms": rooms, "phrases": phrase}
    own |= {"pronunciations": _pronunciations(say), "synthesise": synthesise}
    own |= {"false_alarms": false_alarms}
    tuned: dict[str, Any] = {"audio_column": audio_column, "label_column": label_column}
    tuned |= {"speaker_column": speaker_column, "window_s": window_s, "rate": rate, "batch": batch}
    tuned |= {"epochs": epochs}
    if source.endswith(".onnx"):
        raise ConfigError(f"--from {source}: own words begin anew; leave --from away")
    if source == BUNDLED:
        _refuse(f"--from {source}", tuned)
        _own(data, out, {**_given(own), **run}, json=json)
    else:
        _refuse("a checkpoint of transformers", own)
        if out is None:
            raise ConfigError("say where it is kept: -o DIR")
        _finetune(data, source, out, {**_given(tuned), **run}, json=json)


def _own(data: str | None, out: Path | None, asked: dict[str, Any], *, json: bool) -> None:
    """Train a person's own words."""
    from export.training.own import own

    target = _target(data, out, asked.get("phrases", []))
    result = own.train(None if data is None else Path(data), target, own.Options(**asked), _say)
    _tell(result, result.lines(), f"kws listen --model {target}", json=json)


def _target(data: str | None, out: Path | None, phrases: list[str]) -> Path:
    """Return the model file that is written: named after the first word, if nobody says how."""
    if out is not None:
        return out if out.suffix == ".onnx" else out.with_name(f"{out.name}.onnx")
    folders = (
        sorted(each.name for each in Path(data).iterdir() if each.is_dir())
        if (data is not None and Path(data).is_dir())
        else []
    )
    words = [name for name in [*folders, *phrases] if name[:1].isalnum()]
    return Path("_".join((words or ["mine"])[0].lower().split()) + ".onnx")


def _pronunciations(said: list[str] | None) -> dict[str, str]:
    """Read `TEXT=PHONEMES`. Raises ConfigError."""
    found = {}
    for each in said or []:
        text, equals, phonemes = each.partition("=")
        if not (text and equals and phonemes):
            raise ConfigError(f"--say {each}: say it as TEXT=PHONEMES, like 'athena=əθˈinə'")
        found[text] = phonemes
    return found


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
    return {name: value for name, value in options.items() if value is not None and value != {}}


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
