"""Patches: an AST that was trained on long clips, made to hear short ones at their cost.

After Gong et al. (arXiv 2104.01778): for shorter input they cut the middle out of the position
embeddings. Else each second would be padded to the ten seconds of AudioSet.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from export.frontends import kaldi

KIND = "audio-spectrogram-transformer"
SIDE = 16
"""Frames of a patch."""
TOKENS = 2
"""That stand before the patches."""


def filled(config: dict[str, Any], window: int, most: int) -> int:
    """Return the least audio that fills whole patches and holds `window`, `most` at most."""
    stride, side = config.get("time_stride", 10), config.get("patch_size", SIDE)
    return min(most, kaldi.samples(_frames(window, side, stride)))


def shorten(model: Any, extractor: Any, window: int) -> Any:
    """Return an AST that hears `window` samples and no more; any other model as it is.

    The extractor is changed with it.
    """
    config = model.config
    if config.model_type != KIND:
        return model
    stride, side = config.time_stride, config.patch_size
    frames = _frames(window, side, stride)
    if frames >= config.max_length:
        return model
    short = copy.deepcopy(config)
    short.max_length = frames
    made = type(model)(short)
    state = model.state_dict()
    name = next(key for key in state if key.endswith("position_embeddings"))
    columns = [(each - side) // stride + 1 for each in (config.max_length, frames)]
    state[name] = _middle(state[name], *columns)
    made.load_state_dict(state)
    extractor.max_length = frames
    return made


def _frames(samples: int, side: int, stride: int) -> int:
    """Return how many frames the least patches have that hold so much audio."""
    shift = kaldi.samples(2) - kaldi.samples(1)
    frames = 1 + max(0, samples - kaldi.samples(1)) // shift
    return side + stride * max(0, -(-(frames - side) // stride))


def _middle(places: torch.Tensor, columns: int, wanted: int) -> torch.Tensor:
    """Cut embeddings [1, TOKENS + rows * columns, d] to `wanted` columns."""
    tokens, grid = places[:, :TOKENS], places[:, TOKENS:]
    grid = grid.reshape(1, -1, columns, grid.shape[-1])
    first = (columns - wanted) // 2
    return torch.cat([tokens, grid[:, :, first : first + wanted].flatten(1, 2)], 1)
