"""Options: what several commands ask for in the same words."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kws.errors import ConfigError

if TYPE_CHECKING:
    from kws.evaluate.hearing import Hearing
    from kws.session import Model
    from kws.spotter import Spotter
    from kws.thresholds import Settings
    from kws.verification import AnyVerifier, VerifierConfig

Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="FILE", help="A model file; several times for several models."),
]
Keywords = Annotated[
    str | None, typer.Option(metavar="A,B", help="Only these keywords; the others are ignored.")
]
Threshold = Annotated[
    str | None,
    typer.Option(metavar="T", help="0..1 for all keywords, or each its own: yes=0.9,no=0.7."),
]
Sensitivity = Annotated[
    str | None,
    typer.Option(
        metavar="S",
        help="0..100 for all keywords, or each its own: yes=70,no=40; 50 is as shipped.",
    ),
]
FalseAlarms = Annotated[
    float | None,
    typer.Option(metavar="N", help="Thresholds that were measured to give N false alarms an hour."),
]
Wake = Annotated[
    str | None, typer.Option(metavar="WORD", help="Commands count only after this wake word.")
]
Channel = Annotated[
    str | None,
    typer.Option(metavar="N", help="The channel to listen to, from 1, or `mean` of all."),
]
Gate = Annotated[
    str | None, typer.Option(metavar="NAME", help="`webrtc`: only speech is looked at; or `none`.")
]
Overrides = Annotated[
    str | None, typer.Option(metavar="FILE", help="A file of thresholds and decision settings.")
]
Verify = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="A window model that judges what is found; `bundled`, or `none`."
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="Processes that score, on this machine.")
]
Dask = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A dask scheduler whose workers score: tcp://host:8786."),
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep what is scored here; begun again, go on from it."),
]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON, one object a line.")]


def parse_words(text: str) -> list[str]:
    """Return the parts of `a,b`; one in quotes may hold commas: `a,"b, c"`.

    Raises ConfigError: there is none.
    """
    parts = [part.strip() for part in _cut(text) if part.strip()]
    if not parts:
        raise ConfigError(f"{text!r} names no keyword; give some, as in yes,no")
    return parts


def parse_levels(
    text: str, *, option: str = "--threshold", example: str = "0.8, or yes=0.9,no=0.7"
) -> float | dict[str, float]:
    """Return what `0.8` or `yes=0.9,no=0.7` says; what exists and makes sense, Spotter knows.

    Keywords may hold commas and `=`: a pair ends with the first number after an `=`. Raises
    ConfigError: it is neither.
    """
    levels: dict[str, float] = {}
    try:
        if "=" not in text:
            return float(text)
        begun: list[str] = []
        for part in _cut(text):
            begun.append(part)
            keyword, _, value = ",".join(begun).rpartition("=")
            if keyword and _is_number(value):
                levels[keyword.strip()] = float(value)
                begun = []
        if not begun:
            return levels
    except ValueError:
        pass
    raise ConfigError(f"{option} {text!r} is not understood; give {example}")


def parse_thresholds(threshold: str | None, sensitivity: str | None) -> dict[str, Any]:
    """Return what both options say, by the names that `Spotter` knows.

    Raises ConfigError: one is not understood; both speak of the same keyword, or of all.
    """
    levels = None if threshold is None else parse_levels(threshold)
    eager = None
    if sensitivity is not None:
        example = "70, or yes=70,no=40"
        eager = parse_levels(sensitivity, option="--sensitivity", example=example)
    if isinstance(levels, dict) and isinstance(eager, dict):
        both = [name for name in levels if name in eager]
    else:
        both = ["all keywords"] if isinstance(levels, float) and isinstance(eager, float) else []
    if both:
        raise ConfigError(
            f"give either --threshold or --sensitivity for {', '.join(both)}, not both"
        )
    return {"threshold": levels, "sensitivity": eager}


def _cut(text: str) -> list[str]:
    """Cut at the commas that are in no quotes, as CSV does."""
    return next(csv.reader([text], skipinitialspace=True), []) if '"' in text else text.split(",")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_channel(text: str | None) -> int | Literal["mean"] | None:
    """Return what `2` or `mean` says; None for None.

    Raises ConfigError: it is neither.
    """
    if text is None or text == "mean":
        return "mean" if text else None
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"--channel {text!r} is not understood; give 1, 2, ... or mean")
    return int(text)


@dataclass(frozen=True)
class Asked:
    """What the options of a spotter say.

    settings: what `Spotter` and `Settings` take by the same names. verify: as `Spotter` takes it.
    """

    models: list[Model]
    settings: dict[str, Any]
    gate: str | None
    channel: int | Literal["mean"] | None
    verify: AnyVerifier = None

    def spotter(self) -> Spotter:
        """Return the Spotter. Raises ConfigError: there can't be such a one."""
        from kws.spotter import Spotter

        return Spotter(
            self.models,
            gate=self.gate,
            channel=self.channel,
            verify=self.verify,
            **self.settings,
        )

    def verifier(self) -> VerifierConfig | None:
        """Return the verifier, if there is one. Raises ConfigError, ModelError."""
        from kws.roles import find_roles
        from kws.verification import choose

        asked = self.settings["keywords"], self.settings["wake"]
        return choose(
            self.verify, self.models, find_roles([model.card for model in self.models], *asked)
        )

    def thresholds(self, verifier: VerifierConfig | None) -> Settings:
        """Return what is armed, at which levels. Raises ConfigError: that can't be."""
        from kws.thresholds import Settings
        from kws.verification import joint_cards

        return Settings(joint_cards(self.models, verifier), **self.settings)

    def hearing(self, workers: int, dask: str | None, resume: Path | None) -> Hearing:
        """Return how archives are heard. Raises ConfigError: there can't be such a spotter."""
        from kws.evaluate.hearing import Hearing

        verifier = self.verifier()
        settings = self.thresholds(verifier)
        return Hearing(
            self.models, settings, self.gate, self.channel, workers, dask, resume, verifier
        )


def read(
    model: list[str] | None,
    *,
    keywords: str | None,
    threshold: str | None,
    false_alarms: float | None,
    wake: str | None,
    channel: str | None,
    gate: str | None,
    overrides: str | None,
    verify: str | None = None,
    sensitivity: str | None = None,
) -> Asked:
    """Return what the options say, the models loaded.

    Raises ConfigError: they can't be understood. ModelError: a model can't be loaded.
    """
    # What is wrong in the options themselves is told before a model is loaded.
    settings: dict[str, Any] = {
        "keywords": None if keywords is None else parse_words(keywords),
        "wake": None if wake is None else parse_words(wake),
        **parse_thresholds(threshold, sensitivity),
        "false_alarms": false_alarms,
        "overrides": overrides,
    }
    heard = parse_channel(channel)
    from kws.session import load

    models = [load(path) for path in model] if model else [load()]
    from kws.roles import rejoin

    names = [name for each in models for name in each.labels]
    for option in ("keywords", "wake"):
        settings[option] = settings[option] and rejoin(settings[option], names)
    return Asked(models, settings, gate, heard, verify)


def make_spotter(model: list[str] | None, *, live: bool = False, **options: Any) -> Spotter:
    """Return the Spotter that the options describe, as `read` takes them.

    live: this machine must keep up. Raises ConfigError: they make no sense. ModelError: a model
    can't be loaded, or is too slow.
    """
    asked = read(model, **options)
    if live:
        from kws.terminal.pace import at_bearable_pace, fit_verifier

        asked = replace(asked, models=[at_bearable_pace(each) for each in asked.models])
        asked = replace(asked, verify=fit_verifier(asked.verifier()) or "none")
    return asked.spotter()
