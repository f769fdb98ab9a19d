"""All ports of a whole `kws serve`, with words in its microphone and bad clients at its doors."""

import asyncio
import http.client
import io
import re
import socket
import sys
import threading
import time
from pathlib import Path

import hostile
import numpy as np
import pytest
import soundfile
import soxr
from recordings import recordings
from test_daemon import PATIENCE_S, serving
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.wake import Detect, Detection, NotDetected

import kws

__all__ = ["recordings"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="PulseAudio, /proc")

DEMO = Path(kws.__file__).parent / "models" / "demo.flac"
PROGRAM = """
import sys
from kws.cli import main
from kws.serve.wyoming import connection, server

connection.IDLE_S, server.SWEEP_S = 4.0, 0.5
sys.exit(main(["serve", *sys.argv[1:]]))
"""
"""The daemon, with less patience for silent clients of Wyoming than five minutes."""
CROWDS = 10
"""Each is of a hundred connections to each of two ports."""
MOST_MIB, LEFT_MIB = 150, 50
"""What all bad clients together may make it hold besides, and what of it may stay."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def served(pulse, tmp_path_factory):
    """One daemon with the bundled model, that answers on two ports."""
    web, voice = free_port(), free_port()
    config = f"""
[http]
port = {web}
timeout_s = 3.0

[wyoming]
uri = "tcp://127.0.0.1:{voice}"
"""
    folder = tmp_path_factory.mktemp("network")
    with serving(folder, pulse.env, command=("-c", PROGRAM), config=config) as it:
        it.http, it.wyoming = web, voice
        it.until(lambda: figure(it, "kws_audio_seconds_total"))
        it.until(lambda: described(it))
        yield it


def asked(served, method, path, body=None):
    """Return the status and what was answered; 0: nobody did."""
    connection = http.client.HTTPConnection("127.0.0.1", served.http, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def figure(served, name):
    """Return the sum of a figure; it may take a while until there is room to ask."""
    assert hostile.waited(lambda: asked(served, "GET", "/healthz")[0] == 200), served.log()
    _, text = asked(served, "GET", "/metrics")
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text.decode(), re.MULTILINE)))


class Guest:
    """The protocol's own client."""

    def __init__(self, served):
        self._client = AsyncTcpClient("127.0.0.1", served.wyoming)

    async def __aenter__(self):
        await self._client.connect()
        return self

    async def __aexit__(self, *error):
        await self._client.disconnect()

    async def say(self, it):
        await self._client.write_event(it.event())

    async def next(self):
        return await asyncio.wait_for(self._client.read_event(), PATIENCE_S)

    async def described(self):
        await self.say(Describe())
        return Info.from_event(await self.next()).wake[0]

    async def hears(self, audio, rate, names):
        """Play a stream to its end; return the first that is told of it."""
        await self.say(Detect(names))
        await self.say(AudioStart(rate, 2, 1))
        pcm = (32_767 * np.clip(audio, -1, 1)).astype("<i2")
        for at in range(0, len(pcm), 1_024):
            await self.say(AudioChunk(rate, 2, 1, pcm[at : at + 1_024].tobytes()))
        await self.say(AudioStop())
        return await self.next()


def described(served):
    """Whether somebody who asks what there is is told so."""

    async def ask():
        async with Guest(served) as guest:
            return await guest.described()

    try:
        return asyncio.run(ask())
    except (OSError, AttributeError):  # the door was full
        return None


# -- the protocol's own client ----------------------------------------------------------------


def test_wake_words_are_offered(served):
    found = described(served)

    assert {each.name for each in found.models} == {"computer", "jarvis", "alexa"}
    assert all(each.installed and each.phrase for each in found.models)


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("word", ["alexa", "computer", "jarvis"])
def test_people_are_heard_by_the_protocol_s_own_client(served, recordings, word, rate):
    """One whom the model hears from a file, too; with the time at which it was said."""
    model = kws.load()
    for clip in recordings.clips("wake", word):
        said = recordings.read(clip)
        audio = np.concatenate([np.zeros(16_000, np.float32), said, np.zeros(8_000, np.float32)])
        wanted = kws.Spotter(model, keywords=[word]).push(audio, 16_000)
        if wanted:
            break
    sent = audio if rate == 16_000 else soxr.resample(audio, 16_000, rate)

    async def ask():
        async with Guest(served) as guest:
            return await guest.hears(sent, rate, [word]), await guest.hears(0 * sent, rate, [word])

    heard, nothing = asyncio.run(ask())
    detection = Detection.from_event(heard)

    assert detection.name == word
    assert detection.timestamp == pytest.approx(1_000 * wanted[0].time_s, abs=100)
    assert NotDetected.is_type(nothing.type)


# -- bad clients ------------------------------------------------------------------------------


def played(served, pulse, seconds=None):
    """Begin to play the demo; return the player, and the words that must be heard."""
    audio, rate = soundfile.read(DEMO, dtype="float32", stop=seconds and round(seconds * 16_000))
    path = served.folder / f"demo-{seconds}.wav"
    soundfile.write(path, np.concatenate([audio, np.zeros(rate, np.float32)]), rate)
    return pulse.play(path), [each.keyword for each in kws.spot(path)]


def test_bad_clients_cost_no_word_and_leave_nothing_behind(served, pulse):
    """They do their worst on both ports while the demo plays, and until thousands have come."""
    pid, before = served.process.pid, len(served.keywords())
    memory, sockets = hostile.memory(pid), hostile.sockets(pid)
    lost, log = figure(served, "kws_lost_seconds_total"), len(served.log())
    playing, words = played(served, pulse)
    answers = []
    with hostile.Mob(served.http, served.wyoming).loose() as mob:
        ends = time.monotonic() + 2 * PATIENCE_S
        while playing.poll() is None or mob.counts.get("crowd", 0) < CROWDS:
            answers.append((asked(served, "GET", "/healthz")[0], described(served) is not None))
            time.sleep(0.5)
            assert time.monotonic() < ends, mob.counts
    assert not mob.failures
    assert mob.counts.keys() > {"noise", "crowd", "drip", "deaf"}
    assert not mob.kept

    assert hostile.waited(lambda: asked(served, "GET", "/healthz")[0] == 200)
    assert hostile.waited(lambda: described(served))
    assert any(status == 200 for status, _ in answers)
    assert any(told for _, told in answers)
    served.until(lambda: len(served.keywords()) >= before + len(words))
    assert served.keywords()[before:] == words
    assert figure(served, "kws_lost_seconds_total") == lost == 0
    assert not served.losses()
    assert hostile.waited(lambda: hostile.sockets(pid) <= sockets), hostile.sockets(pid)
    assert hostile.memory(pid, "VmHWM") < memory + MOST_MIB
    assert hostile.memory(pid) < memory + LEFT_MIB
    lines = served.log()[log:]
    assert not [line for line in lines if "Traceback" in line or "ERROR" in line]
    assert len(lines) < 100, lines[:100]


def test_recordings_to_classify_do_not_keep_it_from_hearing(served, pulse):
    """A minute each, as many at once as it takes, over and over."""
    before, lost = len(served.keywords()), figure(served, "kws_lost_seconds_total")
    content, statuses, ended = io.BytesIO(), [], threading.Event()
    audio, rate = soundfile.read(DEMO, dtype="float32")
    soundfile.write(content, np.resize(audio, 59 * rate), rate, format="WAV")

    def ask():
        while not ended.is_set():
            statuses.append(asked(served, "POST", "/v1/classify", content.getvalue())[0])

    asking = [threading.Thread(target=ask) for _ in range(12)]
    for each in asking:
        each.start()
    try:
        playing, words = played(served, pulse, 5.0)
        playing.wait(PATIENCE_S)
        served.until(lambda: len(served.keywords()) >= before + len(words))
    finally:
        ended.set()
        for each in asking:
            each.join(PATIENCE_S)

    assert served.keywords()[before:] == words
    assert words
    assert set(statuses) == {200, 503}
    assert figure(served, "kws_lost_seconds_total") == lost
    assert not served.losses()
