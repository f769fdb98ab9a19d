"""`kws listen`: keywords from a microphone, as they are said."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import DeviceError
from kws.terminal import options
from kws.terminal.queued_output import DRAIN_S

if TYPE_CHECKING:
    from kws.flow import Block, Event
    from kws.recording.examples import ExampleCollector
    from kws.sources import Source
    from kws.spotter import Spotter
    from kws.terminal.lines import Lines
    from kws.terminal.queued_output import QueuedOutput
    from kws.terminal.view import View


def listen(
    *,
    model: options.Models = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the microphone's name.")
    ] = None,
    keywords: options.Keywords = None,
    threshold: options.Threshold = None,
    sensitivity: options.Sensitivity = None,
    false_alarms: options.FalseAlarms = None,
    wake: options.Wake = None,
    channel: options.Channel = None,
    gate: options.Gate = None,
    overrides: options.Overrides = None,
    verify: options.Verify = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Without a microphone, hear the bundled recording.")
    ] = False,
    learn: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Ask of each word if it was right; keep it for training."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Hear keywords from a microphone, until Ctrl-C.

    It ends with a summary: time heard, gate, detections, audio lost, CPU, the verifier's work.
    With --learn, y and n say whether what fired, or nearly did, was the word: recordings for
    the next `kws train DIR`.
    """
    from kws.terminal.queued_output import queued_output
    from kws.terminal.quiet import quiet_libraries

    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's `&` has set SIGINT to be ignored
        signal.signal(ending, signal.default_int_handler)
    # Whoever reads no more, or not at this moment, keeps nobody from hearing or from ending.
    with quiet_libraries(), queued_output("stderr"):
        spotter = options.make_spotter(
            model,
            keywords=keywords,
            threshold=threshold,
            sensitivity=sensitivity,
            false_alarms=false_alarms,
            wake=wake,
            channel=channel,
            gate=gate,
            overrides=overrides,
            verify=verify,
            live=True,
        )
        source, title = _source(device, channel, spotter, demo=demo)
        with queued_output("stdout", failed=spotter.stop) as outputs:
            with (
                closing(source),
                _view(spotter, json=json) as view,
                _examples(learn, spotter, channel, view) as examples,
                suppress(KeyboardInterrupt),
            ):
                heard = Observed(source, lambda: view.say(title), view.draw, examples)
                for event in spotter.events(heard):
                    view.show(event)
                    if examples is not None:
                        examples.take(event)
            # A lost device has no summary: its error is the last word.
            _summary(spotter, _unread(outputs), json=json)
            if examples is not None:
                _kept(examples)


class Observed:
    """A source that says when its first block came, and when each one was heard.

    examples: hears each block before, and asks for answers after it.
    """

    def __init__(
        self,
        source: Source,
        announce: Callable[[], None],
        heard: Callable[[], None],
        examples: ExampleCollector | None = None,
    ) -> None:
        self._source, self._announce, self._heard = source, announce, heard
        self._examples = examples
        self.rate, self.live = source.rate, source.live

    def __iter__(self) -> Iterator[Block]:
        for number, block in enumerate(self._source):
            if not number:
                self._announce()
            if self._examples is not None:
                self._examples.hear(block)
            yield block
            if self._examples is not None:
                self._examples.answer()
            self._heard()

    def poll_events(self) -> list[Event]:
        """What the source noticed."""
        return self._source.poll_events()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _source(
    device: str | None, channel: str | None, spotter: Spotter, *, demo: bool
) -> tuple[Source, str]:
    """Return what the spotter is to hear, and words for it."""
    from kws.sources.microphone import Microphone

    try:
        microphone = Microphone(
            device, channel=options.parse_channel(channel), consumer=spotter.consumer
        )
    except DeviceError as error:
        if not demo or device is not None:
            raise
        from kws.sources.demo import Demo

        print(
            f"kws: {error}; instead you hear of the bundled demo, words of a speech synthesiser",
            file=sys.stderr,
        )
        return Demo(), "listening to the demo recording"
    channels = "1 channel" if microphone.channels == 1 else f"{microphone.channels} channels"
    return microphone, f"listening to {microphone.input}, {microphone.rate} Hz, {channels}"


def _view(spotter: Spotter, *, json: bool) -> AbstractContextManager[Lines | View]:
    """Return meters for a terminal, lines for everything else."""
    if sys.stdout.isatty() and not json:
        from kws.terminal.view import View

        return View(spotter)
    from kws.terminal.lines import Lines

    return nullcontext(Lines(as_json=json))


@contextmanager
def _examples(
    folder: Path | None, spotter: Spotter, channel: str | None, view: Lines | View
) -> Iterator[ExampleCollector | None]:
    """Return what keeps examples in a folder, as keys judge them; None: there is no folder."""
    if folder is None:
        yield None
        return
    from kws.recording.examples import ExampleCollector
    from kws.terminal.keys import Keys

    mixed = options.parse_channel(channel)
    with (
        Keys() as keys,
        ExampleCollector(spotter, folder, mixed, say=view.note, keys=keys.pressed) as examples,
    ):
        yield examples


def _kept(examples: ExampleCollector) -> None:
    """Tell on stderr what was kept, and what to do with it."""
    print(
        f"kept {examples.right} right and {examples.wrong} wrong examples in {examples.folder}"
        + (f"; next: kws train {examples.folder}" if examples.right + examples.wrong else ""),
        file=sys.stderr,
    )


def _unread(outputs: list[QueuedOutput]) -> int:
    """Return how many lines on stdout nobody read. Raises BrokenPipeError: its reader is gone."""
    for stdout in outputs:
        stdout.drain(DRAIN_S)
        if stdout.failure is not None:
            raise stdout.failure
        return stdout.dropped
    return 0


def _summary(spotter: Spotter, unread: int, *, json: bool) -> None:
    """Tell on stderr how it went."""
    import msgspec

    from kws.event_json import Summary
    from kws.terminal.lines import print_json

    stats, cpu = spotter.stats, time.process_time()
    heard = max(stats.audio_s, 1e-9)
    opened, load = stats.open_s / heard, cpu / heard
    if json:
        summary = Summary(
            heard_s=round(stats.audio_s, 2),
            gate_open=round(opened, 4),
            detections=stats.detections,
            lost_s=round(stats.lost_s, 2),
            lines_dropped=unread,
            cpu_s=round(cpu, 2),
            cpu_share=round(load, 4),
            thresholds={name: round(t, 6) for name, t in spotter.thresholds.items()},
            sensitivity={name: round(s, 1) for name, s in spotter.sensitivities.items()},
            verifier=None if stats.verifier is None else asdict(stats.verifier),
        )
        print_json(msgspec.to_builtins(summary), file=sys.stderr)
        return
    print(
        f"heard {stats.audio_s:.1f} s, gate open {opened:.0%} of it, "
        f"{stats.detections} detections, {stats.lost_s:.1f} s of audio lost, "
        f"CPU {cpu:.1f} s ({load:.1%} of one core)"
        + (f"; {unread} lines dropped: nobody read them" if unread else ""),
        file=sys.stderr,
    )
    if (verifier := stats.verifier) is not None:
        print(
            f"verifier: {verifier.candidates} candidates, {verifier.verified} verified, "
            f"{verifier.refused} refused, {verifier.calls} calls, {verifier.skipped} skipped, "
            f"{verifier.failures} failed",
            file=sys.stderr,
        )
