"""Lights by command: say "computer", and within five seconds "on" or "off".

python -m kws.examples.lights                                           # prints what it hears
python -m kws.examples.lights 'http://lamp.local/relay/0?turn={word}'   # a Shelly's address
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from http.client import HTTPException
from urllib.request import urlopen

import kws

WORDS = {"on": 0.8, "off": 0.8}
"""With thresholds: after a wake word less will do than the model asks for in running speech."""
TIMEOUT_S = 3
"""For the lamp to answer. Meanwhile audio waits, for ten seconds at most, and none is lost."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Hear the microphone until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Lights by command.")
    parser.add_argument("address", nargs="?", help="is fetched, with the word in place of {word}")
    address = parser.parse_args(arguments).address
    if address is not None and not address.startswith(("http://", "https://")):
        parser.error(f"{address}: an address begins with http:// or https://")
    print('say "computer", then "on" or "off"')
    for heard in kws.listen(wake="computer", keywords=WORDS, threshold=WORDS):
        print(heard.keyword)
        if address is not None and heard.role == "keyword":
            fetch(address.replace("{word}", heard.keyword))


def fetch(address: str) -> None:
    """Fetch an address; a lamp that does not answer is no reason to end."""
    try:
        with urlopen(address, timeout=TIMEOUT_S):  # noqa: S310 - checked to be http above
            pass
    except (OSError, HTTPException) as error:
        print(f"{address}: {error}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except kws.KwsError as error:
        sys.exit(f"lights: {error}")
