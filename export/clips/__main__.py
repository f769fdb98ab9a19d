"""The default clips, said by speech synthesisers: `python -m export.clips`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from export.labels import SPEECH_COMMANDS
from export.recordings import AUDIO, INDEX, RATE
from export.synthesis import CAST, Samples, Voice, say
from kws.levels import rms_db

VOICES_PER_WORD = 4
OTHERS = ["computer", "jarvis", "alexa", "hello", "music", "kitchen", "lights", "nothing"]
"""Words that Speech Commands does not have."""
SENTENCES = [
    "The weather is fine today, but it may rain tomorrow.",
    "Please put the kettle on the table.",
    "She sells sea shells by the shore.",
    "A quick brown fox jumps over the lazy dog.",
    "Nobody has seen the neighbours since Thursday.",
    "My uncle plays the violin in a small orchestra.",
    "Which of these trains goes to the airport?",
    "We could have had breakfast in the garden.",
]
LEVEL_DB = -23.0
QUALITY = 0.9
"""libsndfile's compression level: 0 is the best sound, 1 the smallest file."""


def script() -> Iterator[tuple[str, str | None, Voice]]:
    """Say who says what: the text, its label (None: it is a sentence), the voice."""
    for number, word in enumerate([*sorted(SPEECH_COMMANDS), *OTHERS]):
        count = VOICES_PER_WORD if word in SPEECH_COMMANDS else 1
        # Odd steps, so that neighbours in the alphabet don't share their voices.
        for turn in range(count):
            yield word, word, CAST[(3 * number + 2 * turn) % len(CAST)]
    for text, voice in zip(SENTENCES, CAST, strict=True):
        yield text, None, voice


def main() -> None:
    """Write the clips end to end into one file, and an index that tells them apart."""
    parts: list[Samples] = []
    index: list[dict[str, Any]] = []
    start = 0
    for text, label, voice in script():
        said = _levelled(say(voice, text))
        name = f"{voice}/{text.rstrip('.?').replace(',', '')}"
        index.append({"name": name, "label": label, "start": start, "samples": len(said)})
        parts.append(said)
        start += len(said)
    with soundfile.SoundFile(
        AUDIO, "w", RATE, 1, "OPUS", format="OGG", compression_level=QUALITY
    ) as file:
        file.comment = f"Synthesised by {', '.join(map(str, CAST))}. No person was recorded."
        file.write(np.concatenate(parts))
    lines = ",\n".join(json.dumps(entry) for entry in index)
    INDEX.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    size = AUDIO.stat().st_size + INDEX.stat().st_size
    print(f"{len(index)} clips, {start / RATE:.1f} s, {size / 1000:.0f} kB")


def _levelled(audio: Samples) -> Samples:
    louder = np.float32(10 ** ((LEVEL_DB - rms_db(audio)) / 20))
    levelled: Samples = np.clip(audio * louder, -1, 1)
    return levelled


if __name__ == "__main__":
    main()
