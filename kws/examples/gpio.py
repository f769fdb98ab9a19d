"""A pin of a Raspberry Pi: say "computer", and within five seconds "on" or "off".

python -m kws.examples.gpio        # an LED, or a relay, at GPIO17
python -m kws.examples.gpio 27
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

import kws

WORDS = {"on": 0.8, "off": 0.8}
"""With thresholds: after a wake word less will do than the model asks for in running speech."""
REMEDY = (
    "on a Raspberry Pi: apt install python3-gpiozero python3-lgpio, "
    "and install kws into what `python3 -m venv --system-site-packages` makes"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Hear the microphone until Ctrl-C; gpiozero then lets go of the pin."""
    parser = argparse.ArgumentParser(description="A pin by command.")
    parser.add_argument("pin", nargs="?", default="17", help="as gpiozero names it; else 17")
    pin = parser.parse_args(arguments).pin
    warnings.simplefilter("ignore")  # of each way to the pins that is not the one here
    try:
        from gpiozero import LED

        led = LED(pin)
    except (ImportError, ValueError) as error:  # no gpiozero, no pins, not this one
        parser.exit(2, f"gpio: {error}; {REMEDY}\n")
    spotter = kws.Spotter(wake="computer", keywords=WORDS, threshold=WORDS)

    @spotter.on("on")
    def on(_: kws.Detection) -> None:
        led.on()

    @spotter.on("off")
    def off(_: kws.Detection) -> None:
        led.off()

    print(f'GPIO{pin}: say "computer", then "on" or "off"')
    spotter.run()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except kws.KwsError as error:
        sys.exit(f"gpio: {error}")
