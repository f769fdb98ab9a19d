"""Card: what a model file says about itself; read, checked, written."""

from __future__ import annotations

from typing import Literal

import msgspec

from kws.errors import CardError
from kws.flow import RATES
from kws.origin import Accuracy, Cost, Data, Parity, Quantization, Source, Strict

VERSION = 1
KEY = "kws.card"
"""Where the card lies in an ONNX file's metadata_props."""

HIGHEST_HZ = RATES[-1]
LONGEST_S = 120.0
"""Seconds of audio that a model may hear at once, or look ahead."""
DECISION_MOST_S = {
    "smoothing_s": 10.0,
    "release_s": 60.0,
    "refractory_s": 3600.0,
    "stuck_s": 3600.0,
    "wake_window_s": 3600.0,
}
"""Seconds that a decision parameter may be at most: more than anybody needs."""
WORD_MOST_S = 60.0
"""Seconds that a word, or what the gate delivers after a voice, may last at most."""
HOPS_MOST, SCORES_MOST = 20_000, 4_000_000
"""Hops in a stream model's window, and scores that are smoothed over: these are memory and time."""


class Label(Strict, frozen=True):
    """One output of the model. `median_length_s`: how long people take to say it."""

    name: str
    role: Literal["keyword", "wake", "background"] = "background"
    phrase: str | None = None
    median_length_s: float | None = None


class Rate(Strict, frozen=True):
    """False alarms per hour, as `events` in `hours`; `low`, `high`: the 95 % Poisson interval."""

    per_hour: float
    events: int
    hours: float
    low: float
    high: float


class WrongCommands(Strict, frozen=True):
    """Wakes that a wrong or an invented command followed, as `events` among `wakes`.

    share, low, high: 0..1; the 95 % Wilson interval.
    """

    share: float
    events: int
    wakes: int
    low: float
    high: float


class Threshold(Strict, frozen=True):
    """A keyword's threshold, and the false alarms it was calibrated on (None: not calibrated).

    These are of all keywords together that have the same figure. after_wake: what it was
    calibrated on where it holds for commands after a wake word only.
    """

    value: float
    false_alarms: Rate | None = None
    after_wake: WrongCommands | None = None


class OperatingPoint(Strict, frozen=True):
    """Thresholds for one rate of false alarms, all keywords of one role together."""

    false_alarms_per_hour: float
    role: Literal["keyword", "wake"]
    thresholds: dict[str, float]
    measured: Rate
    miss_rate: float | None = None


class Decision(Strict, frozen=True):
    """How scores become events. Seconds of audio."""

    smoothing_s: float = 0.0
    release_s: float = 0.2
    refractory_s: float = 0.5
    stuck_s: float = 3.0
    wake_window_s: float = 5.0


class Verification(Strict, frozen=True):
    """How a verifier's scores join a first stage's. Weights act on log-odds.

    first_stage: SHA-256 of the first-stage file that the rest was found with; "": any.
    candidates: the smoothed first-stage score from which a keyword is verified, by keyword.
    shifts: what was added to labels' logits so that clips are named rightly; it is taken back
    before scores are joined, for proposals are background far more often than clips are.
    hold_s: how long after a candidate's last hop verification goes on. every_s: between calls
    (rounded to first-stage hops). calls: the verifier's log-odds are the mean over its last so
    many calls. calls_per_s: at most, over 10 s of audio. thresholds, operating_points, after_wake:
    of the joined score.
    """

    first_stage: str = ""
    candidates: dict[str, float] = msgspec.field(default_factory=dict)
    first_weight: float = 0.5
    verifier_weight: float = 1.0
    bias: float = 0.0
    shifts: dict[str, float] = msgspec.field(default_factory=dict)
    hold_s: float = 0.32
    every_s: float = 0.08
    calls: int = 2
    calls_per_s: float = 6.0
    thresholds: dict[str, Threshold] = msgspec.field(default_factory=dict)
    operating_points: list[OperatingPoint] = msgspec.field(default_factory=list)
    after_wake: dict[str, Threshold] = msgspec.field(default_factory=dict)


class Gate(Strict, frozen=True):
    """Which gate the thresholds were calibrated with; `none` unless the labels are speech."""

    name: str = "none"
    parameters: dict[str, int | float | str] = msgspec.field(default_factory=dict)
    hangover_s: float = 0.5


class SelfTest(Strict, frozen=True):
    """Synthesised audio (FLAC, base64 in JSON) with the scores [hops][labels] it must give."""

    flac: bytes
    scores: list[list[float]]


class Network(Strict, frozen=True):
    """What rebuilds a trainable network; the graph's initializers are its state dict."""

    family: str
    config: dict[str, int | float | str | list[int]]


class Card(Strict, frozen=True):
    """All that a model file says about itself. Lengths in samples at `sample_rate`.

    labels: none, where the model only gives embeddings. padded_to: what the graph itself pads
    every call to, so that a shorter window costs no less. verification: how a window model
    verifies what a first stage proposes. after_wake: thresholds of commands that count only after
    a wake word, in place of `thresholds`.
    """

    version: int
    kind: Literal["window", "stream"]
    family: str
    sample_rate: int
    window: int
    hop: int
    labels: list[Label]
    activation: Literal["softmax", "sigmoid"]
    producer: str
    date: str
    name: str = ""
    description: str = ""
    min_samples: int | None = None
    max_samples: int | None = None
    padded_to: int | None = None
    latency: int = 0
    thresholds: dict[str, Threshold] = msgspec.field(default_factory=dict)
    after_wake: dict[str, Threshold] = msgspec.field(default_factory=dict)
    decision: Decision = Decision()
    gate: Gate = Gate()
    operating_points: list[OperatingPoint] = msgspec.field(default_factory=list)
    source: Source | None = None
    data: list[Data] = msgspec.field(default_factory=list)
    licence: str = ""
    languages: list[str] = msgspec.field(default_factory=list)
    quantization: Quantization | None = None
    parity: Parity | None = None
    accuracy: list[Accuracy] = msgspec.field(default_factory=list)
    cost: Cost | None = None
    self_test: SelfTest | None = None
    gate_model: bytes | None = None
    network: Network | None = None
    verification: Verification | None = None
    encoder: str = ""

    @property
    def keywords(self) -> list[Label]:
        """The labels that can be spotted, in the graph's order."""
        return [label for label in self.labels if label.role != "background"]


def replace(card: Card, **changes: object) -> Card:
    """Return a copy of the card with some fields changed."""
    return msgspec.structs.replace(card, **changes)


def encode(card: Card) -> str:
    """Return the card as JSON."""
    return msgspec.json.encode(card).decode()


def decode(text: str, *, where: str) -> Card:
    """Read and check a card; `where` names the file in messages.

    Raises CardError: not JSON, a newer version, an unknown or missing field, values that
    make no sense.
    """
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
    except (msgspec.DecodeError, RecursionError) as error:
        raise CardError(
            f"{where}: the model card is not readable ({error}); export it again"
        ) from None
    if version > VERSION:
        raise CardError(
            f"{where}: its card has version {version}, this kws reads {VERSION}; upgrade kws"
        )
    try:
        card = msgspec.json.decode(text, type=Card)
    except msgspec.ValidationError as error:
        raise CardError(f"{where}: the model card is wrong: {error}; export it again") from None
    for wrong in _contradictions(card) + _excesses(card):
        raise CardError(f"{where}: the model card is wrong: {wrong}; export it again")
    return card


class _Versioned(msgspec.Struct):
    version: int


def _contradictions(card: Card) -> list[str]:
    names = [label.name for label in card.labels]
    spotted = {label.name for label in card.keywords}
    levels = [t.value for each in (card.thresholds, card.after_wake) for t in each.values()]
    strangers = sorted({*card.thresholds, *card.after_wake} - spotted)
    checks = {
        f"version {card.version} does not exist": card.version < 1,
        "rate, window and hop must be positive": min(card.sample_rate, card.window, card.hop) < 1,
        "latency must not be negative": card.latency < 0,
        "hop is longer than window": card.hop > card.window,
        "a label appears twice": len(set(names)) < len(names),
        "softmax over one label is always 1": len(names) == 1 and card.activation == "softmax",
        f"thresholds name no keyword: {strangers}": bool(strangers),
        "a threshold lies outside 0..1": any(not 0 <= level <= 1 for level in levels),
        "an operating point is at no rate": any(
            not point.false_alarms_per_hour > 0 for point in card.operating_points
        ),
        "decision times must not be negative": any(
            value < 0 for value in msgspec.structs.asdict(card.decision).values()
        ),
    }
    checks |= _verification_checks(card)
    return [message for message, wrong in checks.items() if wrong]


def _verification_checks(card: Card) -> dict[str, bool]:
    found = card.verification
    if found is None:
        return {}
    named = {*found.candidates, *found.thresholds, *found.after_wake}
    named |= {name for point in found.operating_points for name in point.thresholds}
    names = {label.name for label in card.labels}
    strangers = sorted(named - {label.name for label in card.keywords})
    levels = [*found.candidates.values(), *(level.value for level in found.thresholds.values())]
    levels += [level.value for level in found.after_wake.values()]
    levels += [level for point in found.operating_points for level in point.thresholds.values()]
    weights = (found.first_weight, found.verifier_weight)
    return {
        "only a window model can verify": card.kind != "window",
        f"its verification names no keyword: {strangers}": bool(strangers),
        "a level of its verification lies outside 0..1": not all(0 <= one <= 1 for one in levels),
        "its verification's weights must lie between 0 and 10": not all(
            0 <= weight <= 10 for weight in weights
        ),
        f"its verification shifts no label of its own: {sorted({*found.shifts} - names)}": bool(
            {*found.shifts} - names
        ),
        "only softmax scores can be shifted": bool(found.shifts) and card.activation != "softmax",
        "its verification's shifts must lie between -20 and 20": not all(
            abs(each) <= 20 for each in found.shifts.values()
        ),
        "its verification's bias must lie between -20 and 20": not abs(found.bias) <= 20,
        "its verification's hold_s must lie between 0 and 2": not 0 <= found.hold_s <= 2,
        "its verification's every_s must lie between 0.01 and 1": not 0.01 <= found.every_s <= 1,
        "its verification's calls must lie between 1 and 10": not 1 <= found.calls <= 10,
        "its verification's calls take longer than hold_s": (
            (found.calls - 1) * found.every_s > found.hold_s
        ),
        "its verification's calls_per_s must lie between 0.1 and 100": (
            not 0.1 <= found.calls_per_s <= 100
        ),
    }


def _excesses(card: Card) -> list[str]:
    """Return what no model needs, and would take all memory or time."""
    longest = LONGEST_S * card.sample_rate
    smoothed = card.decision.smoothing_s * card.sample_rate / card.hop * len(card.labels)
    lengths = [label.median_length_s for label in card.labels if label.median_length_s is not None]
    sizes = [size for size in (card.min_samples, card.max_samples) if size is not None]
    points = [level for point in card.operating_points for level in point.thresholds.values()]
    checks = {
        f"a rate of {card.sample_rate} Hz": card.sample_rate > HIGHEST_HZ,
        f"a window or latency over {LONGEST_S:g} s": max(card.window, card.latency) > longest,
        f"over {HOPS_MOST} hops a window": card.kind == "stream"
        and card.window > HOPS_MOST * card.hop,
        f"a smoothing over {smoothed:.0f} scores": smoothed > SCORES_MOST,
        f"a word's length outside 0..{WORD_MOST_S:g} s": any(
            not 0 < length <= WORD_MOST_S for length in lengths
        ),
        f"a hangover outside 0..{WORD_MOST_S:g} s": not 0 <= card.gate.hangover_s <= WORD_MOST_S,
        "no samples at least or at most": any(size < 1 for size in sizes),
        "an operating point's threshold outside 0..1": any(not 0 <= one <= 1 for one in points),
    }
    checks |= {
        f"{name} over {most:g}": getattr(card.decision, name) > most
        for name, most in DECISION_MOST_S.items()
    }
    return [f"{message} makes no sense" for message, wrong in checks.items() if wrong]
