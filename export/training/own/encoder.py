"""The encoder that own words share: the packaged verifier's, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kws import card as cards
from kws.errors import ModelError
from kws.flow import Samples
from kws.session import BUNDLED

VERIFIER = BUNDLED.with_name("verifier.onnx")
WINDOW = 25_600
"""Samples that it hears at once."""
STEPS, WIDTH = 20, 384
BATCH = 16
Features = NDArray[np.float32]
"""[n, STEPS, WIDTH]."""


class Encoder:
    """Gives the features of windows. id: of its weights; heads and features belong to it.

    Raises ModelError: the verifier is not installed, or gives no features.
    """

    def __init__(self) -> None:
        import onnxruntime

        if not VERIFIER.is_file():
            raise ModelError(f"{VERIFIER}: own words need the encoder in it; reinstall kws")
        graph = onnx.load(VERIFIER)
        properties = {entry.key: entry.value for entry in graph.metadata_props}
        card = cards.decode(properties[cards.KEY], where=str(VERIFIER))
        self.id, self.sample_rate = card.encoder, card.sample_rate
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._output = _features_of(graph)
        self._session: Any = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def features(self, windows: Iterable[Samples]) -> Features:
        """Return the features of windows, float32 [WINDOW] each."""
        found, waiting = [np.zeros((0, STEPS, WIDTH), np.float32)], []
        for window in windows:
            waiting.append(window)
            if len(waiting) == BATCH:
                found.append(self._run(waiting))
                waiting = []
        if waiting:
            found.append(self._run(waiting))
        return np.concatenate(found)

    def _run(self, windows: list[Samples]) -> Features:
        audio = np.stack(windows).astype(np.float32)
        found: Features = self._session.run([self._output], {"audio": audio})[0]
        return found


def _features_of(graph: onnx.ModelProto) -> str:
    """Return the output that gives the features."""
    if any(each.name == "features" for each in graph.graph.output):
        return "features"
    for node in graph.graph.node:  # a verifier that gives none: what its head hears
        if node.op_type == "ReduceMean" and node.output[0] == "/ReduceMean_output_0":
            graph.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
            return str(node.output[0])
    raise ModelError(f"{VERIFIER}: gives no features; reinstall kws")
