"""Holding an exported graph against its original, on lengths and levels that provoke."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from export.assemble import assemble


def clips(original, *seconds):
    """Speech-like noise of several lengths, then silence and full-scale noise of one window."""
    random = np.random.default_rng(1)
    lengths = [original.min_samples, *(round(s * original.rate) for s in seconds)]
    made = []
    for length in lengths:
        noise = random.standard_normal(length).cumsum()  # falls with frequency, as speech does
        made.append((0.1 * noise / max(1e-9, np.abs(noise).max())).astype(np.float32))
    made.append(np.zeros(original.window, np.float32))
    made.append(random.uniform(-1, 1, original.window).astype(np.float32))
    return made


def outputs(original, audio, way):
    """What the float32 graph gives for each clip: dicts of its outputs, first row."""
    with tempfile.TemporaryDirectory() as folder:
        model = assemble(original, way, Path(folder))
        model.ir_version = 8
        session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [node.name for node in session.get_outputs()]
    found = (session.run(None, {"audio": clip[None]}) for clip in audio)
    return [dict(zip(names, (array[0] for array in arrays), strict=True)) for arrays in found]


def drift(original, audio, way):
    """The largest difference from the original's probabilities (or embedding) over all clips."""
    name = "scores" if original.labels else "embedding"
    found = outputs(original, audio, way)
    return max(
        float(np.abs(got[name] - original.reference(clip)).max())
        for got, clip in zip(found, audio, strict=True)
    )
