"""What several test modules need."""

import models as tones
import pytest
from recordings import recordings
from telling import need

from benchmarks.microphone import virtual_microphone
from kws.session import load

__all__ = ["recordings"]

DEVICES = {
    "daemon", "damaged_files", "devices", "examples", "http", "http_clients", "http_doors",
    "interrupts", "listen", "live", "microphone", "network", "openapi", "page", "playback",
    "queued_output", "record", "serve", "serve_config", "serve_listener", "serve_microphone",
    "serve_outlets", "serve_streams", "service", "sinks", "sinks_desktop", "sinks_mqtt",
    "sinks_webhook", "soak", "spread", "tune", "verifier_serve", "wyoming", "wyoming_limits",
}  # fmt: skip
"""What waits for sound, ports, systemd and browsers, which only one process may use at a time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what waits for devices, so that it can run beside the rest, which computes."""
    for item in items:
        if item.path.stem.removeprefix("test_") in DEVICES:
            item.add_marker(pytest.mark.devices)


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
