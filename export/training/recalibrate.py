"""`python -m export.training.recalibrate`: new thresholds for the bundled model.

Its network stays as it is. Needs KWS_DATA. The verifier is calibrated with this very file, so train
or release it again afterwards (`python -m export.training.verifier`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tomli

import kws
from export.training import ship
from kws.errors import KwsError
from kws.evaluate.cardfile import write_card


def main() -> int:
    """Find thresholds on the calibration split, and write them into the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".training"), help="for trades.json")
    work = parser.parse_args().work
    recipe = tomli.loads(Path(__file__).with_name("bundled.toml").read_text(encoding="utf-8"))
    try:
        model = kws.load()
        work.mkdir(parents=True, exist_ok=True)
        card = ship.calibrated(model, recipe["shipping"], work / ship.TRADES)
        write_card(model.path, card)
    except KwsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, level in card.thresholds.items():
        print(f"{name}: {level.value}, after a wake word {card.after_wake.get(name, level).value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
