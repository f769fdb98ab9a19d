"""pocketsphinx: keyphrase search for alexa, its English model, 2,048 bytes at a time.

option: `kws_threshold`; without it the one that ships. There is no score track: a report is a
hypothesis, after which the utterance is ended and another begun, as its keyphrase test does.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1024


def spotter(option: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import pocketsphinx  # type: ignore[import-not-found]

    threshold = {"kws_threshold": float(option)} if option else {}
    decoder = pocketsphinx.Decoder(lm=None, keyphrase="alexa", loglevel="FATAL", **threshold)
    decoder.start_utt()

    def hear(block: bytes) -> tuple[float, bool]:
        decoder.process_raw(block, no_search=False, full_utt=False)
        if decoder.hyp() is None:
            return 0.0, False
        decoder.end_utt()
        decoder.start_utt()
        return 1.0, True

    return hear
