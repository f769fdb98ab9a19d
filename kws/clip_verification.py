"""Clip verification: a second model judges the clearest moment of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kws.flow import Samples
from kws.fusion import SMALLEST
from kws.session import Model
from kws.verification import AnyVerifier, choose
from kws.word_search import Peak, Verify

ENDS_S = 0.0, 0.16
"""The verifier hears windows that end so long after the clearest moment."""
CANDIDATE = 0.05
"""A keyword that nowhere scores as much was not said: there is nothing to verify."""


def clip_verifier(model: Model, verify: AnyVerifier = None) -> Verify | None:
    """Return what judges the clearest moment of a recording; None where nothing does.

    verify: as `Spotter` takes it. A verifier with other labels than the model's judges no clips.
    Raises ModelError, ConfigError.
    """
    if isinstance(verify, Model) and set(verify.labels) != set(model.labels):
        return None
    config = choose(verify, [model], model.keywords)
    if config is None or set(config.model.labels) != set(model.labels):
        return None
    rules = config.rules[0] or config.timing
    weights = rules.first_weight, rules.verifier_weight
    order = [config.model.labels.index(name) for name in model.labels]
    keywords = [model.labels.index(name) for name in model.keywords]

    def judge(peak: Peak) -> Samples:
        if peak.scores[keywords].max() < CANDIDATE:
            return peak.answer
        return joined(peak, config.model, order, weights)

    return judge


def joined(
    peak: Peak, verifier: Model, order: Sequence[int], weights: tuple[float, float]
) -> Samples:
    """Return both models' scores [labels], joined as weighted means of their logarithms.

    order: where the first model's labels stand among the verifier's. weights: of the first and of
    the verifier.
    """
    window = verifier.card.window
    opinions = []
    for end_s in ENDS_S:
        end = peak.end + round(end_s * peak.rate) - peak.start
        heard = peak.audio[max(0, end - window) : max(0, end)]
        opinions.append(np.log(np.maximum(verifier.scores(_padded(heard, window)), SMALLEST)))
    first = np.log(np.maximum(peak.scores, SMALLEST))
    both = weights[0] * first + weights[1] * np.mean(opinions, axis=0)[list(order)]
    shares = np.exp((both - both.max()) / sum(weights))
    found: Samples = (shares / shares.sum()).astype(np.float32)
    return found


def _padded(heard: Samples, window: int) -> Samples:
    return np.pad(heard, (window - len(heard), 0))
