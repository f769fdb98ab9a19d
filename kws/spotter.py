"""Spotter: finds keywords in one stream: push audio, iterate, or be called back."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from kws.arguments import check_options, exclusive
from kws.callbacks import Callback, Callbacks
from kws.capture import Capture
from kws.chain import Chain
from kws.flow import Block, Detection, Event, Stats
from kws.loops import hear, hear_async
from kws.overrides import Overrides
from kws.resample import Channel
from kws.roles import find_roles
from kws.session import Model, load
from kws.steps import Steps
from kws.stream import Stream
from kws.thresholds import Settings
from kws.verification import AnyVerifier, choose, joint_cards

if TYPE_CHECKING:
    from kws.sources import Source

AnyModel: TypeAlias = Model | str | os.PathLike[str]


class Spotter:
    """Finds keywords in one stream of audio.

    Audio comes in by one of these:

        for detection in spotter    the microphone; with `async for` too
        spotter.run(source)         a microphone or any source, for callbacks; until `stop`
        spotter.events(source)      the same as an iterator: every event, not only detections
        spotter.push(samples)       arrays of your own; returns detections
        spotter.process(block)      blocks of your own; returns every event
        spotter.finish()            after the last of what you pushed

    >>> import soundfile
    >>> spotter = kws.Spotter(keywords=["yes", "stop"], threshold={"yes": 0.9})
    >>> for block in soundfile.blocks("demo.flac", blocksize=1024, dtype="float32"):
    ...     for detection in spotter.push(block, sample_rate=16_000):
    ...         print(detection.keyword)
    yes
    stop

    model: a model, its path, or several of either; None is the bundled one. They are shared,
        the spotter only holds the stream's state.
    keywords: which to spot; None is all. threshold: one for all, or by keyword. sensitivity: the
        same as 0..100, where 50 is what ships; where a keyword has both, the one that differs from
        its card holds. false_alarms: per hour; picks the card's thresholds for it. wake: commands
        count only after this word, or one of these, at the card's own thresholds for that.
    gate: `webrtc`, `none`; None is what the model says.
    channel: from 1, or "mean"; None is the mean of up to two, else the first. device: the
        microphone's name, for `run` and iteration. overrides: path of a JSON file with
        thresholds and decision parameters. verify: a window model that judges what the first
        finds, or its path, "bundled", "none"; None: the bundled one judges the bundled model.
    One thread pushes; settings may change from any. Raises ConfigError, ModelError.
    """

    def __init__(
        self,
        model: AnyModel | Sequence[AnyModel] | None = None,
        *,
        keywords: str | Iterable[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        sensitivity: float | Mapping[str, float] | None = None,
        false_alarms: float | Mapping[str, float] | None = None,
        wake: str | Iterable[str] | None = None,
        gate: str | None = None,
        channel: Channel = None,
        device: str | None = None,
        overrides: str | os.PathLike[str] | Overrides | None = None,
        verify: AnyVerifier = None,
    ) -> None:
        check_options(keywords=keywords, threshold=threshold, wake=wake, false_alarms=false_alarms)
        check_options(sensitivity=sensitivity, gate=gate, channel=channel, device=device)
        check_options(overrides=overrides, verify=verify)
        several = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
        self.models = [one if isinstance(one, Model) else load(one) for one in several]
        armed = find_roles([one.card for one in self.models], keywords, wake)
        pair = choose(verify, self.models, armed)
        self.verifier = None if pair is None else pair.model
        self._settings = Settings(
            joint_cards(self.models, pair),
            keywords=keywords,
            threshold=threshold,
            sensitivity=sensitivity,
            false_alarms=false_alarms,
            wake=wake,
            overrides=overrides,
        )
        self._chain = Chain(self.models, self._settings, gate=gate, channel=channel, verify=pair)
        self._callbacks, self._device, self._channel = Callbacks(), device, channel
        self._stream = Stream(self._chain, self._callbacks.tell)
        self.consumer = self._stream  # which knows what it wants of a microphone
        self._stopped, self._changing = threading.Event(), threading.RLock()

    def reset(self) -> None:
        """Forget everything heard so far, figures too, and end captures; settings stay."""
        self.playback(on=False)
        self._stream.reset()

    # -- audio in ---------------------------------------------------------------------------

    def push(
        self, samples: NDArray[Any], sample_rate: int | None = None, start: int | None = None
    ) -> list[Detection]:
        """Hear samples; return what was detected.

        samples: float32 in [-1, 1] or int16, [n] or [n, channels]. sample_rate: Hz; None is the
        model's. start: absolute index of the first sample; None is where the last push ended.
        A start ahead of that is a jump: audio was lost.
        NaN and infinite samples are lost audio: skipped, counted, told as `AudioLost`.
        Raises AudioError: empty, another type or shape, a start in the past. What a callback
        raises is raised when all of it was heard.
        """
        events = self.process(self._stream.block(samples, sample_rate, start))
        return [event for event in events if isinstance(event, Detection)] if events else []

    def process(self, block: Block) -> list[Event]:
        """Hear a block; return everything that became known, in order; call back for each.

        Raises what `push` does.
        """
        if self._settings.ended(self._stream.now_s):
            self.playback(on=False)
        return self._stream.process(block)

    def finish(self) -> list[Event]:
        """Hear the silence after a source's end, so that its last word is known; end captures."""
        return self._stream.finish()

    def push_steps(self, samples: NDArray[Any] | None, rate: int, events: list[Event]) -> Steps:
        """Push samples, or finish: None; in steps, which `kws.steps.together` runs for many.

        Only for many streams that share one model: `push` and `process` do it for one.
        """
        if samples is None:
            return self._stream.ending(events)
        if self._settings.ended(self._stream.now_s):
            self.playback(on=False)
        return self._stream.steps(self._stream.block(samples, rate), events)

    def pause(self) -> None:
        """Hear nothing until `resume`; end captures; what is pushed meanwhile is skipped."""
        self._stream.pause()

    def resume(self) -> None:
        """Hear again, as after a jump."""
        self._stream.resume()

    # -- loops ------------------------------------------------------------------------------

    def _microphone(self, source: Source | str | None) -> Source:
        if source is None or isinstance(source, str):
            from kws.sources.microphone import Microphone

            return Microphone(source or self._device, channel=self._channel, consumer=self.consumer)
        return source

    def events(self, source: Source | str | None = None) -> Iterator[Event]:
        """Yield every event of a source to its end, or until `stop`; scores too.

        source: a microphone's name; None is the spotter's device. Begins with `reset`, and closes
        the source. Raises DeviceError, AudioError.
        """
        return hear(self, self._microphone(source), self._stopped, self._stream.end)

    def run(self, source: Source | str | None = None) -> None:
        """Call back for every event of a source, as `events` yields it, until `stop` or Ctrl-C."""
        with suppress(KeyboardInterrupt):
            for _ in self.events(source):
                pass

    def stop(self) -> None:
        """End `run`, or the iteration, after the block at hand; from any thread.

        Where none runs, as while the microphone is still being opened, the next one ends at once.
        """
        self._stopped.set()

    def __iter__(self) -> Iterator[Detection]:
        """Hear the microphone; yield detections."""
        return (event for event in self.events() if isinstance(event, Detection))

    def __aiter__(self) -> AsyncIterator[Detection]:
        """Hear the microphone without blocking the event loop; yield detections."""
        return hear_async(self, self._microphone(None), self._stopped, self._stream.end)

    # -- what the user asks for -------------------------------------------------------------

    def on(self, what: str | type) -> Callable[[Callback], Callback]:
        """Decorate what is to be called with each detection of a keyword, or event of a class."""
        if isinstance(what, str):
            self._settings.check(what)
        return self._callbacks.keep(what)

    def notify(self, events: Iterable[Event]) -> None:
        """Call back for events that did not come from audio, as those that a source noticed."""
        self._callbacks.tell(events)

    def capture(
        self, word: Detection, seconds: float = 8.0, until_silence: float | None = None
    ) -> Capture:
        """Begin to keep what is said after a word, from its end on; `Captured` tells the end.

        seconds: at most. until_silence: it ends after so many seconds without voice, once somebody
        began to speak. Raises AudioError where that audio is gone already.
        """
        return self._stream.capture(word, seconds, until_silence)

    @exclusive
    def set_threshold(self, threshold: float | Mapping[str, float]) -> None:
        """Change thresholds from the next hop on. Raises ConfigError."""
        check_options(threshold=threshold)
        self._settings.set_threshold(threshold)
        self._chain.configure(self._settings)

    @exclusive
    def set_sensitivity(self, sensitivity: float | Mapping[str, float]) -> None:
        """Change thresholds by sensitivities, 0..100, from the next hop on. Raises ConfigError."""
        check_options(sensitivity=sensitivity)
        self._settings.set_sensitivity(sensitivity)
        self._chain.configure(self._settings)

    @exclusive
    def set_keywords(self, keywords: str | Iterable[str] | None) -> None:
        """Arm other keywords from the next hop on; None is all. Raises ConfigError."""
        check_options(keywords=keywords)
        self._settings.set_keywords(keywords)
        self._chain.configure(self._settings)

    @exclusive
    def playback(
        self, on: bool, *, live: Iterable[str] = (), raise_to: float | None = None,
        max_s: float = 60.0,
    ) -> None:  # fmt: skip
        """Tell that the own speaker talks, so that it does not wake itself up, or has ended.

        Wake words rest, or need a score of `raise_to`. live: heard nevertheless, commands without
        a wake word. max_s: it ends by itself after so many seconds. Raises ConfigError.
        """
        check_options(live=live, raise_to=raise_to, max_s=max_s)
        until_s = self._stream.now_s + max_s
        self._settings.playback = self._settings.play(live, raise_to, until_s) if on else None
        self._chain.configure(self._settings)

    # -- what is going on -------------------------------------------------------------------

    @property
    def latency(self) -> int:
        """How far events may lie behind the audio, in samples at the model's rate."""
        return self._chain.latency

    @property
    @exclusive
    def thresholds(self) -> dict[str, float]:
        """The armed keywords' thresholds."""
        return dict(self._settings.levels)

    @property
    def sensitivities(self) -> dict[str, float]:
        """The armed keywords' sensitivities, 0..100, at these thresholds."""
        return self._settings.sensitivities

    @property
    def scores(self) -> dict[str, float]:
        """The armed keywords' scores at the last hop, as they are compared."""
        return self._chain.scores

    @property
    def level_db(self) -> float:
        """RMS level of the last block, in dBFS."""
        return self._chain.level_db

    @property
    def gate_open(self) -> bool:
        """Whether the gate lets audio through."""
        return self._chain.gate.open

    @property
    def stats(self) -> Stats:
        """Figures since the spotter was made or reset."""
        return self._stream.stats
