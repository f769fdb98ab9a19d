"""What several test modules need."""

import models as tones
import pytest
from recordings import recordings
from telling import need

from benchmarks.microphone import virtual_microphone
from kws.session import load

__all__ = ["recordings"]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The model of tones, as a stream model and as its twin, a window model."""
    folder = tmp_path_factory.mktemp("models")
    return {
        kind: load(tones.write(folder / f"{kind}.onnx", tones.card(kind)))
        for kind in ("stream", "window")
    }


@pytest.fixture(scope="module")
def pulse(request):
    """A virtual microphone for a module's tests, or a reason why they were left out."""
    need(request, "pulseaudio-utils", "pulseaudio", "pactl", "paplay")
    with virtual_microphone() as microphone:
        yield microphone
