"""Clients of a Wyoming server, in real time; see benchmarks.serve.

    python -m benchmarks.serve_clients PORT STREAMS SECONDS TAPE OUT CORE ASKS

Each stream comes from another place of the TAPE (int16 at 16 kHz), 1,024 samples at a time, in the
bytes that the wyoming package writes; `timestamp` tells which piece of which stream it is. ASKS: 1
to ask at the end whether all was heard. OUT: when each piece was sent, by time.monotonic(), and
each client's port.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RATE, PIECE = 16_000, 1_024
PIECE_S = PIECE / RATE
WORD = "alexa"
SHIFT = 20
"""A piece's timestamp is its number and, above so many bits, that of its stream plus one."""
PATIENCE_S = 30.0
VERSION = metadata.version("wyoming")


def encoded(kind: str, data: dict[str, Any], payload: bytes = b"") -> bytes:
    """Return an event's bytes."""
    block = json.dumps(data).encode()
    header: dict[str, Any] = {"type": kind, "version": VERSION, "data_length": len(block)}
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + block + payload


@dataclass
class Client:
    """One stream. full: how often the server had not taken what came before."""

    number: int
    socket: socket.socket
    sent: array.array[float] = field(default_factory=lambda: array.array("d"))
    unsent: bytes = b""
    full: int = 0
    words: int = 0

    def begin(self) -> None:
        """Ask for the word, and begin the audio."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(encoded("detect", {"names": [WORD]}))
        self.socket.sendall(encoded("audio-start", _format(0)))
        self.socket.setblocking(False)

    def send(self, piece: int, samples: bytes) -> None:
        """Send a piece of audio, as far as the network takes it."""
        stamp = (self.number + 1 << SHIFT) + piece
        self.unsent += encoded("audio-chunk", _format(stamp), samples)
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        self.full += bool(self.unsent)
        self.sent.append(time.monotonic())

    def read(self) -> None:
        """Take what is told."""
        with suppress(BlockingIOError):
            self.words += self.socket.recv(65_536).count(b'"detection"')

    def answered(self) -> float:
        """Return how long a question takes that comes after all audio."""
        began = time.monotonic()
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.sendall(self.unsent + encoded("ping", {"text": "heard"}))
            told = b""
            while b'"pong"' not in told:
                more = self.socket.recv(65_536)
                if not more:
                    break
                told += more
        except TimeoutError:
            pass
        return time.monotonic() - began


def play(clients: list[Client], seconds: float, tape: bytes) -> float:
    """Send everybody's audio when it is due; return how late a piece was at most."""
    pieces, late = len(tape) // (2 * PIECE), 0.0
    began, step = time.monotonic() + 0.5, PIECE_S / len(clients)
    for number in range(round(seconds / PIECE_S)):
        for client in clients:
            due = began + number * PIECE_S + client.number * step
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            late = max(late, -wait)
            at = (client.number * pieces // len(clients) + number) % pieces * 2 * PIECE
            client.send(number, tape[at : at + 2 * PIECE])
            if number % 16 == 0:
                client.read()
    return late


def main() -> None:
    """Play what the command line says; print one line of JSON."""
    port, count, seconds, tape, out, core, asks = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    clients = [
        Client(number, socket.create_connection(("127.0.0.1", int(port))))
        for number in range(int(count))
    ]
    for client in clients:
        client.begin()
    late = play(clients, float(seconds), Path(tape).read_bytes())
    lag = (
        [client.answered() for client in clients[:: max(1, len(clients) // 20)]]
        if asks == "1"
        else []
    )
    np.savez(
        out,
        ports=[client.socket.getsockname()[1] for client in clients],
        sent=[client.sent for client in clients],
    )
    told = {
        "late_s": late,
        "full": sum(client.full for client in clients),
        "words": sum(client.words for client in clients),
        "lag_s": max(lag, default=None),
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _format(stamp: int) -> dict[str, Any]:
    return {"rate": RATE, "width": 2, "channels": 1, "timestamp": stamp}


if __name__ == "__main__":
    main()
