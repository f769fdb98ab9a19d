"""Wyoming: words heard for others, told over a real socket by the protocol's own client."""

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import models
import numpy as np
import pytest
import soundfile
from models import RATE, noise, tone
from telling import PATIENCE_S, until
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection

import kws
from kws.card import Label
from kws.serve.build import build
from kws.serve.config import Config
from kws.serve.config import Model as Wanted
from kws.serve.network import planned
from kws.serve.streams import Streams
from kws.serve.wyoming.server import Server
from kws.serve.wyoming.settings import Wyoming

DEMO = Path(kws.__file__).parent / "models" / "demo.flac"
PIECE = 1_024
LABELS = [
    Label("yes", "wake", median_length_s=0.2),
    Label("no", "keyword", median_length_s=0.2),
    Label("jarvis", "wake", phrase="hey jarvis", median_length_s=0.2),
    Label("_rest_"),
]
"""Two wake words and a command."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a model of tones."""
    return models.write(
        tmp_path_factory.mktemp("wyoming") / "tones.onnx", models.card(labels=LABELS)
    )


@contextmanager
def serving(*paths, **settings):
    """A server as the daemon makes it, on a port of its own."""
    settings = Wyoming(**{"uri": "tcp://127.0.0.1:0", **settings})
    config = Config(model=[Wanted(str(path)) for path in paths], wyoming=settings)
    streams = Streams()
    made = Server(settings, planned(build(config)).offer, streams)
    try:
        until(lambda: made.address)
        yield made
    finally:
        made.shut(PATIENCE_S)
        streams.close(PATIENCE_S)
        assert made.failure is None
        assert not made._thread.is_alive()


@pytest.fixture
def served(model):
    with serving(model) as made:
        yield made


class Guest:
    """A client that is in no hurry, and in none to be answered."""

    def __init__(self, client):
        self._client = client

    async def say(self, *events):
        for event in events:
            written = event if isinstance(event, Event) else event.event()
            await asyncio.wait_for(self._client.write_event(written), PATIENCE_S)

    async def next(self):
        """The next event; None: the server has closed."""
        try:
            return await asyncio.wait_for(self._client.read_event(), PATIENCE_S)
        except ConnectionError:
            return None

    async def ask(self, *events):
        await self.say(*events)
        return await self.next()

    async def start(self, rate=RATE, channels=1):
        await self.say(AudioStart(rate, 2, channels, timestamp=777))

    async def play(self, samples, rate=RATE, piece=PIECE, channels=1):
        pcm = np.repeat((samples * 32_767).astype("<i2"), channels)
        for at in range(0, len(pcm), piece):
            await self.say(AudioChunk(rate, 2, channels, pcm[at : at + piece].tobytes()))

    async def hears(self, samples, rate=RATE, **options):
        """Play a stream to its end; return the names, and when they were heard, in ms."""
        await self.start(rate)
        await self.play(samples, rate, **options)
        await self.say(AudioStop())
        return await self.told()

    async def told(self):
        """What is told up to the pong, which comes last."""
        await self.say(Ping("that is all"))
        found = []
        while not Pong.is_type((event := await self.next()).type):
            if Detection.is_type(event.type):
                detection = Detection.from_event(event)
                found.append((detection.name, detection.timestamp))
            else:
                found.append(event.type)
        return found


@asynccontextmanager
async def visiting(made):
    client = AsyncClient.from_uri(f"tcp://127.0.0.1:{made.address[1]}")
    await client.connect()
    try:
        yield Guest(client)
    finally:
        client._writer.transport.abort()


def visit(made, *steps):
    """Let guests do something, all at the same time; return what each came to."""

    async def one(step):
        async with visiting(made) as guest:
            return await step(guest)

    async def every():
        everyone = asyncio.gather(*(one(step) for step in steps))
        return await asyncio.wait_for(everyone, 2 * PATIENCE_S)

    return asyncio.run(every())


def said(*words, rate=RATE):
    """Tones, at 0.5 s, 1.5 s and so on."""
    parts = [part for word in words for part in (noise(0.5), tone(word, 0.3), noise(0.2))]
    audio = np.concatenate([*parts, noise(0.5)])
    times = np.arange(len(audio) * rate // RATE) / rate
    return np.interp(times, np.arange(len(audio)) / RATE, audio).astype(np.float32)


def names(told):
    return [each if isinstance(each, str) else each[0] for each in told]


# -- what there is ----------------------------------------------------------------------------


async def described(guest):
    [program] = Info.from_event(await guest.ask(Describe())).wake
    return {each.name: (each.phrase, each.installed, each.languages) for each in program.models}


def test_wake_words_are_offered_with_their_phrase(served):
    [found] = visit(served, described)

    assert found == {"yes": ("yes", True, []), "jarvis": ("hey jarvis", True, [])}


def test_commands_are_offered_only_where_the_config_says(model):
    with serving(model, commands=True) as served:
        [found] = visit(served, described)

    assert [*found] == ["yes", "no", "jarvis"]


def test_who_asks_and_leaves_every_half_minute_leaves_no_line(served, caplog):
    kws_log = logging.getLogger("kws")
    kws_log.propagate, caplog.handler.level = True, logging.DEBUG
    caplog.set_level(logging.INFO)
    caplog.clear()
    for _ in range(20):
        visit(served, described)
    until(lambda: not served._connections)

    assert caplog.records == []


# -- what is heard ----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_words_are_told_with_their_time_from_the_start(served, rate):
    """The client's own timestamps count for nothing."""

    async def listens(guest):
        return await guest.hears(said("jarvis", "yes", rate=rate), rate)

    [told] = visit(served, listens)

    assert names(told) == ["jarvis", "yes"]
    for (_, at), begun in zip(told, [500, 1_500], strict=True):
        assert begun < at < begun + 500


def test_times_begin_anew_with_each_stream(served):
    async def twice(guest):
        return [(await guest.hears(said("yes")))[0][1] for _ in range(2)]

    [[first, second]] = visit(served, twice)

    assert first == second


def test_a_word_is_told_while_the_stream_goes_on(served):
    """Nobody has to hang up first."""

    async def waits(guest):
        await guest.start()
        await guest.play(said("jarvis"))
        return Detection.from_event(await guest.next()).name

    assert visit(served, waits) == ["jarvis"]


def test_only_what_was_asked_for_is_heard(served):
    async def asks(guest):
        await guest.say(Detect(["yes"]))
        return await guest.hears(said("jarvis", "yes", "jarvis"))

    [told] = visit(served, asks)

    assert names(told) == ["yes"]


def test_a_later_question_replaces_the_first(served):
    async def asks(guest):
        await guest.start()
        await guest.say(Detect(["yes"]))
        await guest.play(said("yes", "jarvis"))
        await guest.say(Detect(["jarvis"]))
        await guest.play(said("yes", "jarvis"))
        await guest.say(Detect())
        await guest.play(said("yes", "jarvis"))
        return await guest.told()

    [told] = visit(served, asks)

    assert names(told) == ["yes", "jarvis", "yes", "jarvis"]


def test_a_command_is_no_wake_word(served):
    async def listens(guest):
        return await guest.hears(said("no"))

    assert visit(served, listens) == [["not-detected"]]


def test_a_command_is_heard_where_it_is_offered(model):
    async def listens(guest):
        return await guest.hears(said("no"))

    with serving(model, commands=True) as served:
        assert names(visit(served, listens)[0]) == ["no"]


def test_not_detected_is_told_only_where_nothing_was(served):
    async def listens(guest):
        return [await guest.hears(said(*words)) for words in [["jarvis"], [], ["yes"]]]

    [[first, second, third]] = visit(served, listens)

    assert (names(first), second, names(third)) == (["jarvis"], ["not-detected"], ["yes"])


@pytest.mark.parametrize("asked", [["ok_nabu"], ["jarvi"], ["no"], ["jarvis", "ok_nabu"]])
def test_a_word_that_is_not_there_is_an_error_and_never_another(served, asked):
    """Nor are those beside it heard: who asked is told so at once."""

    async def asks(guest):
        answer = Error.from_event(await guest.ask(Detect(asked)))
        return answer, await guest.hears(said("jarvis", "yes", "no"))

    [(error, told)] = visit(served, asks)

    assert f"unknown wake word {asked[-1]!r}" in error.text
    assert told == ["not-detected"]


def test_who_asked_wrongly_may_ask_again(served):
    async def asks(guest):
        await guest.ask(Detect(["ok_nabu"]))
        await guest.say(Detect(["jarvis"]))
        return await guest.hears(said("jarvis"))

    assert names(visit(served, asks)[0]) == ["jarvis"]


def test_each_of_many_hears_its_own(served):
    """At once, in pieces of different lengths, at different rates."""

    def listens(words, piece, rate):
        async def step(guest):
            return names(await guest.hears(said(*words, rate=rate), rate, piece=piece))

        return step

    wanted = [["yes"], ["jarvis"], ["jarvis", "yes"], ["yes", "yes"]] * 4
    steps = [
        listens(words, [160, 1_024, 5_000][number % 3], [16_000, 48_000][number % 2])
        for number, words in enumerate(wanted)
    ]

    assert visit(served, *steps) == wanted


def test_the_bundled_model_hears_its_demo():
    """What it hears in the file, and nothing else."""
    audio, rate = soundfile.read(DEMO, dtype="float32")
    wanted = [each.keyword for each in kws.spot(DEMO)]

    async def listens(guest):
        return await guest.hears(audio, rate)

    with serving("", commands=True) as served:
        [told] = visit(served, listens)

    assert wanted
    assert names(told) == wanted
