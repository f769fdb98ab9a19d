"""The bundled demo recording, said by speech synthesisers: `python -m export.demo`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from export.synthesis import RATE, Samples, Voice, say

PATH = Path(__file__).parent.parent / "kws" / "models" / "demo.flac"
RMS, SLT, AWB = Voice("flite", "rms"), Voice("flite", "slt"), Voice("flite", "awb")
ANN, EVE = Voice("espeak-ng", "en-us"), Voice("espeak-ng", "en-us+f3")

SCRIPT: list[tuple[Voice, str]] = [
    (RMS, "computer"),
    (SLT, "yes"),
    (AWB, "Nobody said this, a machine did."),
    (SLT, "alexa"),
    (SLT, "down"),
    (ANN, "left"),
    (ANN, "right"),
    (AWB, "And the weather is fine today."),
    (EVE, "on"),
    (EVE, "off"),
    (RMS, "go"),
    (AWB, "stop"),
]
"""Who says what. One word alone is one of the bundled model's; sentences hold none of them. No
voice here says a `jarvis` that the model hears, nor a `no`; an `up` it hears or misses by where in
the stream its hops begin."""

PAUSE_S = 0.85
LEVEL_DB = -23.0
FLOOR_DB = -72.0


def expected() -> list[str]:
    """Return the keywords in the order in which the recording says them."""
    return [text for _, text in SCRIPT if " " not in text]


def recording() -> Samples:
    """Return the demo: float32 [n] at 16 kHz, the same at every call."""
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    parts = [pause]
    for voice, text in SCRIPT:
        parts += [_levelled(say(voice, text)), pause]
    audio = np.concatenate(parts)
    # A microphone never delivers zeros.
    noise = np.random.default_rng(1).standard_normal(len(audio)) * 10 ** (FLOOR_DB / 20)
    return (audio + noise).astype(np.float32)


def main() -> None:
    """Write the recording."""
    audio = recording()
    with soundfile.SoundFile(PATH, "w", RATE, 1, "PCM_16", format="FLAC") as file:
        file.title = "kws demo recording"
        voices = ", ".join(sorted({str(voice) for voice, _ in SCRIPT}))
        file.comment = f"Synthesised, by {voices}. Nobody's voice was recorded."
        file.write(audio)
    print(f"{PATH.name}: {len(audio) / RATE:.1f} s, {PATH.stat().st_size / 1000:.0f} kB")


def _levelled(audio: Samples) -> Samples:
    level = np.log10(np.mean(audio**2)) * 10  # in float32, as the bundled recording was made
    louder = np.float32(10 ** ((LEVEL_DB - level) / 20))
    levelled: Samples = np.clip(audio * louder, -1, 1)
    return levelled


if __name__ == "__main__":
    main()
