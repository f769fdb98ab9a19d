"""Stream models: a file's scores against its network's, at every hop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from export.training.network import XVector
from kws.errors import ParityError
from kws.flow import Samples
from kws.origin import Parity
from kws.session import Model

DRIFT = 1e-3
AGREEMENT = 0.98


def stream_scores(model: Model, audio: Samples) -> Samples:
    """Return a stream model's scores over `audio` [n], from silent history: [hops, labels]."""
    hop, state, found = model.card.hop, model.initial_state, []
    for start in range(0, len(audio) - hop + 1, hop):
        scores, state = model.run(audio[None, start : start + hop], state)
        found.append(scores[0])
    return np.stack(found)


def window_scores(network: XVector, audio: Samples) -> Samples:
    """Return the original network's scores at the same hops, over [zeros, audio]."""
    config = network.config
    hops = len(audio) // config.hop_samples
    silence = network.pad() + (config.warmup - 1) * config.hop_samples
    padded = np.concatenate([np.zeros(silence, np.float32), audio[: hops * config.hop_samples]])
    with torch.no_grad():
        mels = network.features.fast(torch.from_numpy(padded)[None])
        return network.logits(mels)[0].softmax(1).numpy()


def compare(
    model: Model, network: XVector, clips: Sequence[Samples], *, drift: float = DRIFT
) -> Parity:
    """Hold the file's scores against the network's at every hop of every clip.

    Raises ParityError where a probability differs by more than `drift`, or the most probable
    label of a clip's last hop agrees on fewer than 98 % of the clips.
    """
    worst, same = 0.0, 0
    for clip in clips:
        got, wanted = stream_scores(model, clip), window_scores(network, clip)
        worst = max(worst, float(np.abs(got - wanted).max()))
        same += int(got[-1].argmax() == wanted[-1].argmax())
    agreement = same / len(clips)
    if worst > drift or agreement < AGREEMENT:
        raise ParityError(
            f"{model.path}: differs from its source by {worst:.2g} in probability"
            f" (at most {drift:g}), agrees on {agreement:.1%} of {len(clips)} clips"
        )
    return Parity(len(clips), worst, agreement)
