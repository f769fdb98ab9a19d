"""Says the words that the tests listen to: `python tests/words/say.py` -> <voice>/<word>.opus.

Every voice of `export.synthesis.CAST` says every keyword of the bundled model, and some words
that are none. The audio is the same at every run; Ogg gives each file a serial number of its own.
"""

from pathlib import Path

import soundfile

from export.synthesis import CAST, RATE, say
from export.training.vocabulary import KEYWORDS

OTHERS = ["seven", "happy", "house", "marvin", "nothing"]
FOLDER = Path(__file__).parent


def main():
    for voice in CAST:
        for word in [*KEYWORDS, *OTHERS]:
            path = FOLDER / str(voice) / f"{word}.opus"
            path.parent.mkdir(exist_ok=True)
            with soundfile.SoundFile(
                path, "w", RATE, 1, "OPUS", format="OGG", compression_level=0.9
            ) as file:
                file.comment = f"Synthesised by {voice.program}, voice {voice.name}."
                file.write(say(voice, word))


if __name__ == "__main__":
    main()
