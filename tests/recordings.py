"""The recordings of people that some tests need; where they are absent, a test says so.

`KWS_DATA` names their folder, by default `../shared/data` beside the repository. Without them
a test is left out, and its name printed; with CI set it fails.
"""

import os
from pathlib import Path

import pytest
import soundfile

from export.training import recordings as table
from kws.errors import DataError

ROOT = Path(__file__).parent.parent


class Recordings:
    """Clips of people by kind, label and split; only what is asked for is decoded."""

    def __init__(self, folder):
        self.folder = folder

    def clips(self, kind, label, split="validation"):
        """Return the clips of a label, one a speaker where speakers are known."""
        clips = [clip for clip in table.table(kind, split) if clip.label == label]
        return list({clip.speaker or clip.name: clip for clip in clips}.values())

    def read(self, clip):
        """Return a clip's samples: float32 [n], 16 kHz."""
        with soundfile.SoundFile(self.folder / clip.shard) as shard:
            shard.seek(clip.start)
            return shard.read(clip.samples, dtype="float32")


@pytest.fixture
def recordings(request, monkeypatch):
    """The recordings of people, or a reason why this test was left out."""
    folder = os.environ.get("KWS_DATA") or ROOT.parent / "shared" / "data"
    monkeypatch.setenv("KWS_DATA", str(folder))
    try:
        return Recordings(table.folder())
    except DataError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(f"{request.node.nodeid} needs people's recordings. {error}")
