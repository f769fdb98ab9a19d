"""An assistant: say "computer" and what you want; the audio goes to a recogniser of your choice.

python -m kws.examples.assistant                                   # keeps it as a WAV file
python -m kws.examples.assistant whisper-cli -m base.bin -f {wav}  # or any other program
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import kws


def main(arguments: Sequence[str] | None = None) -> None:
    """Hear the microphone until Ctrl-C."""
    parser = argparse.ArgumentParser(description="What is said after a wake word, recognised.")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="run for each; {wav} is the file")
    command = parser.parse_args(arguments).command
    spotter = kws.Spotter(keywords="computer")

    @spotter.on("computer")
    def listen(word: kws.Detection) -> None:
        spotter.capture(word, seconds=10, until_silence=0.8)
        print("yes?")

    @spotter.on(kws.Captured)
    def answer(captured: kws.Captured) -> None:
        said = captured.capture
        if not said.spoke:
            print("nothing was said")
            return
        # On a thread of its own: a recogniser takes its time, and the spotter hears on.
        threading.Thread(target=recognise, args=[said.audio, said.rate, command]).start()

    print('say "computer", and what you want')
    spotter.run()


def recognise(audio: NDArray[np.float32], rate: int, command: list[str]) -> None:
    """Hand audio to a command as a WAV file; without one, keep the file here."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder if command else ".") / time.strftime("said-%Y%m%d-%H%M%S.wav")
        soundfile.write(wav, audio, rate)
        print(f"{len(audio) / rate:.1f} s: {wav.name}")
        try:
            if command:
                subprocess.run([word.replace("{wav}", str(wav)) for word in command], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except kws.KwsError as error:
        sys.exit(f"assistant: {error}")
