"""The load benchmark: what its clients send is what others' clients send."""

import io

from wyoming.audio import AudioChunk, AudioStart
from wyoming.event import write_event
from wyoming.wake import Detect

from benchmarks.serve_clients import PIECE, RATE, WORD, encoded


def written(what):
    out = io.BytesIO()
    write_event(what.event(), out)
    return out.getvalue()


def test_its_clients_send_the_packages_bytes():
    audio = bytes(2 * PIECE)
    form = {"rate": RATE, "width": 2, "channels": 1, "timestamp": 5}
    start = AudioStart(RATE, 2, 1, timestamp=5)
    piece = AudioChunk(RATE, 2, 1, audio, timestamp=5)

    assert encoded("audio-start", form) == written(start)
    assert encoded("audio-chunk", form, audio) == written(piece)
    assert encoded("detect", {"names": [WORD]}) == written(Detect([WORD]))
