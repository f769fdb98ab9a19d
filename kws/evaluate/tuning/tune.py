"""Tune: thresholds for one voice in one room, and how much is known of them.

Minutes of a room say little about false alarms that come once an hour, and a few utterances
little about misses. So each threshold starts from the one in use, which was measured on hours
of other people's speech, and moves only for a reason:

- down, as far as the weakest utterance needs that a threshold can reach at all: to half its
  odds; but not below the most permissive operating point of the model's card;
- up, to twice the odds of whatever this room made of the keyword: this comes before all else.

Where the room was heard for so long that its silence says something about the rate that is
asked for (3.7 false alarms would have been expected), the room takes the place of the card: how
low a threshold may go is then searched within that rate; see `search.thresholds`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kws.card import Card
from kws.errors import ConfigError
from kws.evaluate import search
from kws.evaluate.intervals import poisson
from kws.evaluate.search import moved

MARGIN = math.log(2)
"""Twice, or half, the odds."""
LEAST = 3
"""Fewer utterances of a keyword than these don't move its threshold."""
PER_HOUR = 1.0
"""False alarms an hour, all keywords together, where nothing else is asked for."""
SAYS_SOMETHING = poisson(0)[1]
"""Where so many events were expected, none at all is outside their 95 % interval."""
LOWEST, HIGHEST = float(search.GRID[0]), 0.9999
"""Thresholds lie between these, but for those in use."""

Peaks: TypeAlias = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Start:
    """What is known before this voice and this room were heard.

    before: the thresholds in use, of every armed keyword. floor: how low the cards let them go.
    per_hour: the rate that a long room is searched for. points: the rates at which the cards
    have operating points.
    """

    before: dict[str, float]
    floor: dict[str, float]
    per_hour: float
    points: list[float]

    @property
    def lowest(self) -> dict[str, float]:
        """Under these no threshold will ever lie."""
        floor = self.floor.items()
        return {name: min(low, LOWEST, self.before[name]) for name, low in floor}

    def room_decides(self, hours: float) -> bool:
        """Tell whether so much of a room says something about the rate."""
        return hours * self.per_hour >= SAYS_SOMETHING


def start(cards: Sequence[Card], levels: Mapping[str, float], wanted: float | None) -> Start:
    """Return what the cards say. levels: thresholds in use; wanted: false alarms per hour.

    A keyword whose threshold was never measured has no floor but the lowest of all.
    """
    points = [point for card in cards for point in card.operating_points]
    points.sort(key=lambda point: point.false_alarms_per_hour)
    allowed = [p for p in points if wanted is None or p.false_alarms_per_hour <= wanted]
    measured = {
        name for one in cards for name, level in one.thresholds.items() if level.false_alarms
    }
    floor = {}
    for name, level in levels.items():
        values = [point.thresholds[name] for point in allowed if name in point.thresholds]
        if wanted is not None:
            floor[name] = values[-1] if values else level
        elif values or name in measured:
            floor[name] = min([level, *values[-1:]])
        else:
            floor[name] = min(level, LOWEST)
    rates = sorted({point.false_alarms_per_hour for point in points})
    return Start(dict(levels), floor, wanted or PER_HOUR, rates)


def check(known: Start, wanted: float | None, hours: float) -> None:
    """Raise ConfigError where neither cards nor so many hours can speak of the rate."""
    if wanted is None or known.room_decides(hours) or any(p <= wanted for p in known.points):
        return
    points = ", ".join(f"{rate:g}" for rate in known.points) or "none"
    raise ConfigError(
        f"neither the model (its operating points: {points}) nor {hours:.2f} h of room can speak "
        f"of {wanted:g} false alarms an hour; that takes {SAYS_SOMETHING / wanted:.2g} h of room"
    )


def choose(
    known: Start, said: Peaks, room: Peaks, *, hours: float, by_room: bool
) -> dict[str, float]:
    """Return thresholds by the rule above, in 0..1.

    said: by keyword, how high its score rose at each utterance; keywords that are not here move
    only up. room: by keyword, its peaks in so many hours without keywords. by_room: the room
    takes the place of the card.
    """
    quiet = {name: _over(room[name]) for name in known.before}
    floor = dict(known.floor)
    if said and by_room:
        alarms = {name: room[name] for name in said}
        found = search.thresholds(said, alarms, hours=hours, per_hour=known.per_hour)
        for name, level in found.items():
            # The search would rather be strict with a clear voice than leave things as they are.
            floor[name] = min(level, max(known.before[name], quiet[name]))
            quiet[name] = 0.0  # the rate has a place for some of the room's peaks
    chosen = {}
    for name, level in known.before.items():
        ceiling = max(level, floor[name])
        reached = [peak for peak in said.get(name, ()) if peak >= max(floor[name], quiet[name])]
        needed = moved(min(reached), -MARGIN) if reached else ceiling
        down = min(ceiling, max(floor[name], needed))
        chosen[name] = round(max(down, quiet[name]), 4)
    return chosen


def _over(peaks: NDArray[np.float64]) -> float:
    return min(HIGHEST, moved(float(peaks.max()), MARGIN)) if len(peaks) else 0.0
