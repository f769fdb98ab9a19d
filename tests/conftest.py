"""What several test modules need."""

import models as tones
import pytest
from recordings import recordings

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
