"""Two daemons behind a balancer, by README's own file for haproxy."""

import asyncio
import re
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import models
import pytest
from models import noise, tone
from telling import PATIENCE_S, find, need, until
from test_wyoming import LABELS, visiting

ROOT = Path(__file__).parent.parent
GUESTS = 8
CONFIG = """microphone = []
[[model]]
path = "tones.onnx"
[wyoming]
uri = "tcp://127.0.0.1:{port}"
"""


class Daemon:
    """`kws serve` without a microphone, in a process of its own."""

    def __init__(self, folder, port):
        folder.mkdir()
        self.port = port
        models.write(folder / "tones.onnx", models.card(labels=LABELS))
        config, self._err = folder / "kws.toml", folder / "err"
        config.write_text(CONFIG.format(port=port))
        command = [sys.executable, "-m", "kws", "serve", "--config", str(config)]
        with self._err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=err)

    def sockets(self):
        """How many it has open."""
        opened = Path(f"/proc/{self.process.pid}/fd").iterdir()
        return sum(str(each.readlink()).startswith("socket:") for each in opened)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def ports():
    """Three that are free: the balancer's, and two behind it."""
    with ExitStack() as stack:
        tried = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in tried:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in tried]


@pytest.fixture
def daemons(tmp_path, ports):
    made = [Daemon(tmp_path / str(port), port) for port in ports[1:]]
    try:
        for each in made:
            until(lambda: answers(each.port))  # noqa: B023 - asked at once
        yield made
    finally:
        for each in made:
            each.kill()


@pytest.fixture
def balancer(request, daemons, tmp_path, ports):
    """Haproxy, by the file in README on other ports; its address."""
    need(request, "haproxy", "haproxy")
    readme = (ROOT / "README.md").read_text()
    text = re.search(r"^```\n(defaults\n.*?)^```", readme, re.MULTILINE | re.DOTALL)[1]
    for told, port in zip((10400, 10401, 10402), ports, strict=True):
        assert f":{told}" in text
        text = text.replace(f":{told}", f":{port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    running = subprocess.Popen([find("haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        until(lambda: answers(ports[0]))
        yield SimpleNamespace(address=("127.0.0.1", ports[0]))
    finally:
        running.kill()
        running.wait(PATIENCE_S)


def answers(port):
    with closing(socket.socket()) as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def heard(balancer, meanwhile=lambda: None):
    """Let many play a word at once; return what each was told."""

    async def all_at_once():
        async with AsyncExitStack() as stack:
            guests = [await stack.enter_async_context(visiting(balancer)) for _ in range(GUESTS)]
            for guest in guests:
                await guest.start()
            await asyncio.to_thread(meanwhile)
            word = [noise(0.5), tone("yes", 0.3), noise(0.7)]
            return await asyncio.gather(*(say(guest, word) for guest in guests))

    async def say(guest, word):
        for samples in word:
            await guest.play(samples)
        return [name for name, _ in await guest.told()]

    return asyncio.run(all_at_once())


def test_streams_are_shared_out_and_a_daemon_that_dies_is_gone_round(balancer, daemons):
    before = [each.sockets() for each in daemons]

    def shared():
        until(
            lambda: all(
                each.sockets() > count + GUESTS // 4  # a check may have been counted
                for each, count in zip(daemons, before, strict=True)
            )
        )

    assert [["yes"]] * GUESTS == heard(balancer, shared)
    daemons[0].kill()
    assert [["yes"]] * GUESTS == heard(balancer)
