"""`kws tune`: thresholds for this voice and this room."""

from __future__ import annotations

import random
import signal
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import ConfigError
from kws.terminal import options

if TYPE_CHECKING:
    from kws.evaluate.tuning.tuned import Evidence, Tuned
    from kws.terminal.prompts import Prompts


def tune(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where they go, for --overrides.")
    ] = Path("kws-thresholds.json"),
    force: Annotated[bool, typer.Option("--force", help="Write over FILE.")] = False,
    times: Annotated[
        int, typer.Option(min=3, metavar="N", help="How often each keyword is asked for.")
    ] = 5,
    minutes: Annotated[
        float, typer.Option(min=0, metavar="N", help="How long the room is heard.")
    ] = 10.0,
    words: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recordings of the words in label folders; no prompts."),
    ] = None,
    room: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Recordings of the room without the words; repeatable."),
    ] = None,
    model: options.Models = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the microphone's name.")
    ] = None,
    keywords: options.Keywords = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(metavar="N", help="At most N false alarms an hour, all keywords together."),
    ] = None,
    channel: options.Channel = None,
    gate: options.Gate = None,
    overrides: options.Overrides = None,
    verify: options.Verify = None,
    json: options.Json = False,
) -> None:
    """Find thresholds for your voice and your room.

    You say the words at a prompt, then leave the room running.

    A threshold goes down as far as your weakest word needs, but not below the model's most
    permissive operating point, and up to twice the odds of whatever the room made of its word.
    A room that is heard for hours (3.7 false alarms must be due in it) replaces that limit.
    """
    _check(out, false_alarms, force=force)
    asked = options.read(
        model, keywords=keywords, threshold=None, false_alarms=None, wake=None,
        channel=channel, gate=gate, overrides=overrides, verify=verify,
    )  # fmt: skip
    from kws.terminal.quiet import quiet_libraries

    with quiet_libraries():
        tuner = Tuner(asked, false_alarms, named=keywords is not None)
        evidence = tuner.hear(words, room, device=device, times=times, minutes=minutes)
        found = tuner.tune(evidence)
        _show(found, as_json=json)
        _write(out, found, asked.settings["overrides"])


def _check(out: Path, false_alarms: float | None, *, force: bool) -> None:
    """Raise ConfigError for what would only be found out after everybody has talked."""
    if out.exists() and not force:
        raise ConfigError(f"{out}: is there already; give another --out FILE, or --force")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out}: can't be written: no folder {out.absolute().parent}")
    if false_alarms is not None and false_alarms <= 0:
        raise ConfigError(f"--false-alarms {false_alarms:g} is no rate; give 1, or 0.5")


class Tuner:
    """Hears words and room, at the microphone or from recordings, and finds thresholds.

    named: the keywords were asked for by name. Raises ConfigError.
    """

    def __init__(self, asked: options.Asked, false_alarms: float | None, *, named: bool) -> None:
        from kws.evaluate.tuning.ear import Ear
        from kws.evaluate.tuning.tune import start
        from kws.terminal.pace import at_bearable_pace, fit_verifier
        from kws.verification import joint_cards

        asked = replace(asked, models=[at_bearable_pace(each) for each in asked.models])
        verifier = fit_verifier(asked.verifier())
        asked = replace(asked, verify=verifier or "none")
        self._cards = joint_cards(asked.models, verifier)
        settings = asked.thresholds(verifier)
        self._known = start(self._cards, settings.levels, false_alarms)
        self._ear = Ear(asked.spotter(), settings, self._known.lowest, verifier)
        self._channel, self._wanted, self._named = asked.channel, false_alarms, named

    def hear(
        self, words: Path | None, room: list[Path] | None, *,
        device: str | None, times: int, minutes: float,
    ) -> Evidence:  # fmt: skip
        """Return what was heard. Raises what recordings and devices raise, and DataError.

        What can't work is told before anybody talks.
        """
        from kws.evaluate.hearing import audio_files
        from kws.evaluate.tuning import recorded
        from kws.evaluate.tuning.tune import check
        from kws.evaluate.tuning.tuned import Evidence

        ear, clips = self._ear, None
        if words is not None:
            clips = recorded.words_in(words, ear.names, named=self._named)
        files = None if room is None else audio_files(room)
        if files is None:
            check(self._known, self._wanted, minutes / 60)
        with ExitStack() as stack:
            if clips is None or files is None:
                prompts = self._prompts(stack, device)
            if words is None or clips is None:
                said = prompts.words(ear.names, times, random.Random())
            else:
                said = recorded.hear_words(ear, words, clips, _say)
            if files is None:
                stretches = prompts.room(60 * minutes) if minutes else []
            else:
                stretches = recorded.hear_room(ear, files, _say)
        evidence = Evidence(said, stretches)
        if files is not None:
            check(self._known, self._wanted, evidence.hours)
        return evidence

    def _prompts(self, stack: ExitStack, device: str | None) -> Prompts:
        from kws.sources.microphone import Microphone
        from kws.terminal.prompts import Prompts

        for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's `&` has set SIGINT to be ignored
            signal.signal(ending, signal.default_int_handler)
        microphone = Microphone(device, channel=self._channel)
        stack.enter_context(closing(microphone))
        return Prompts(self._ear, microphone, self._channel, f"{microphone.input}")

    def tune(self, evidence: Evidence) -> Tuned:
        """Return thresholds, and what is to be expected of them."""
        from kws.evaluate.tuning.tuned import tune

        return tune(self._known, evidence, self._ear, self._cards)


def _show(found: Tuned, *, as_json: bool) -> None:
    """Print what was found, for people or machines."""
    import msgspec

    from kws.terminal.lines import print_json
    from kws.terminal.tuning import tuned_lines

    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        print(*tuned_lines(found), sep="\n")


def _write(out: Path, found: Tuned, overrides: str | None) -> None:
    """Write the override file; what the old one said beside thresholds stays said."""
    from kws.overrides import read_overrides, write_overrides

    write_overrides(out, read_overrides(overrides).changed(found.thresholds))
    _say(f"written; use them: kws listen --overrides {out}")


def _say(line: str) -> None:
    print(f"kws: {line}", file=sys.stderr)
