"""The gate that knows voices from other sounds: a small network behind WebRTC's detector.

WebRTC's is cheap and takes most noise for voice, so the network runs only on what it lets through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kws.errors import ConfigError
from kws.flow import Samples
from kws.gates import webrtc
from kws.steps import Answer, Run

if TYPE_CHECKING:
    from kws.session import Model, State

AWAKE_S = 0.3
"""The network hears on for so long after the last frame that WebRTC took for voice."""


class Detector:
    """Frames of 20 ms.

    model: the network, a stream model with the label `_silence_`; None is refused. threshold:
    probability, 0 to 1, from which it is voice. mode: WebRTC's, see `webrtc`.
    """

    tells_voice = True

    def __init__(
        self, rate: int, model: Model | None = None, threshold: float | str = 0.5, mode: int = 1
    ) -> None:
        if model is None:
            raise ConfigError("this model file holds no network for gate learned; use gate webrtc")
        self._first = webrtc.Detector(rate, mode)
        self.frame = self._first.frame
        hop = model.card.hop
        if isinstance(threshold, str) or not 0 <= threshold <= 1:
            raise ConfigError(f"gate learned takes a threshold from 0 to 1, not {threshold!r}")
        if (
            model.card.kind != "stream"
            or model.card.sample_rate != rate
            or hop % self.frame
            or "_silence_" not in model.labels
        ):
            raise ConfigError("this model file's network is none for gate learned; use gate webrtc")
        self._model, self._threshold = model, threshold
        self._silence = model.labels.index("_silence_")
        self._awake_frames = round(AWAKE_S * rate / self.frame)
        self._hop = np.zeros((1, hop), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._first.reset()
        self._awake = 0
        self._sleep()

    def _sleep(self) -> None:
        self._state: State = self._model.initial_state
        self._filled, self._likely = 0, False

    def voiced(self, frame: Samples, /) -> bool:
        """Return whether there is voice in the next frame, float32 [frame]."""
        found = self.hear(frame)
        return self.told(found.alone()) if isinstance(found, Run) else found

    def hear(self, frame: Samples, /) -> bool | Run:
        """Return the same, or the call that it needs: `told` the answer, it is known."""
        self._voiced = self._first.voiced(frame)
        self._awake = self._awake_frames if self._voiced else self._awake - 1
        if self._awake <= 0:
            if self._awake == 0:
                self._sleep()
            return False
        self._hop[0, self._filled : self._filled + self.frame] = frame
        self._filled += self.frame
        if self._filled == self._hop.shape[1]:
            return Run(self._model, self._hop, self._state)
        return self._voiced and self._likely

    def told(self, answer: Answer, /) -> bool:
        """Return whether there is voice in the frame that asked."""
        scores, self._state = answer
        self._likely = bool(1 - scores[0, self._silence] >= self._threshold)
        self._filled = 0
        return self._voiced and self._likely
