"""From a finished training run to the bundled file: graph, thresholds, card."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import kws
from export import stream
from export.checkpoints import xvector
from export.training import after_wake, calibrate, corpus, gate, prior, recordings
from export.training.calibrate import float_audio
from export.training.network import XVector
from export.training.recordings import RATE
from export.training.vocabulary import COMMANDS, KEYWORDS, LABELS, WAKE_WORDS
from export.write import write
from kws import card as cards
from kws import origin, selftest
from kws.card import Card, Label, Threshold
from kws.errors import ParityError
from kws.evaluate import search
from kws.flow import Samples

ROLES = {"keyword": COMMANDS, "wake": WAKE_WORDS}
TRADES = "trades.json"
"""Among the files of a release: what each threshold costs in noise."""
FLOAT_DRIFT = 1e-4
"""What the float32 graph may differ from torch."""
STORAGE_DRIFT = 0.1
"""What int8 storage may move a single hop's probability."""
DATA = [
    ("Speech Commands v0.01/v0.02", "CC BY 4.0", "Pete Warden, Google"),
    ("wake-word-benchmark: alexa, computer, jarvis", "Apache-2.0", "Picovoice"),
    ("Precise-Community-Data, ovos-community", "public domain", "Mycroft and OpenVoiceOS users"),
    ("custom-speech-commands-dataset", "CC BY 4.0", "Shawn Hymel"),
    ("wake-word test clips", "Apache-2.0, MIT", "pymicro-wakeword, wyoming-openwakeword"),
    ("LibriSpeech train-clean-5", "CC BY 4.0", "Vassil Panayotov et al."),
    ("speechocean762", "free for commercial and non-commercial use", "Junbo Zhang et al."),
    ("Common Voice 1, 13", "CC0", "Mozilla and its contributors"),
    ("AN4", "free for any purpose", "Carnegie Mellon University"),
    ("LJSpeech", "public domain", "Keith Ito"),
    ("ESC-10", "CC BY 3.0, CC0", "Karol Piczak, Freesound authors"),
    ("noise and music: see MODEL_CARD.md", "CC0, CC BY, MIT, public domain", "see MODEL_CARD.md"),
    ("rooms: see MODEL_CARD.md", "MIT, CC0, CC BY, public domain", "see MODEL_CARD.md"),
]


def ship(checkpoint: Path, recipe: dict[str, Any], out: Path, cache: Path) -> None:
    """Write the model file: int8 storage, parity proven, thresholds from calibration."""
    network = xvector.read_network(torch.load(checkpoint, weights_only=True))
    clips = parity_clips()
    draft = _draft(network, checkpoint, cache)
    _set_prior(network, draft, cache)
    _verify_float(network, draft, clips, cache)
    graph = xvector.stream_graph(network)
    path = cache / "draft.onnx"
    write(graph, draft, path, overwrite=True)
    model = kws.load(path)
    parity = stream.compare(model, network, clips, drift=STORAGE_DRIFT)
    settings = recipe["shipping"]
    card = cards.replace(calibrated(model, settings, cache / TRADES), parity=parity)
    print(f"{len(card.operating_points)} operating points, parity {parity}")
    write(graph, card, path, overwrite=True)
    made = gate.make(recipe, cache, kws.load(path))
    card = cards.replace(
        card,
        gate=made.gate,
        gate_model=made.network,
        accuracy=made.accuracy,
        cost=origin.Cost(_ms_per_call(model), platform.processor() or platform.machine()),
        self_test=selftest.made(model),
    )
    write(graph, card, out, overwrite=True)
    size = out.stat().st_size
    print(f"{out}: {size / 1000:.0f} KB, {len(card.thresholds)} keywords")


def calibrated(model: kws.Model, settings: dict[str, Any], table: Path) -> Card:
    """Return the model's card with thresholds from the calibration split.

    In the open, by false alarms an hour, and for commands after a wake word. table: see `points`.
    """
    found = points(model, settings, table=table)
    card = cards.replace(model.card, operating_points=found, thresholds=thresholds(found, settings))
    return after_wake.with_after_wake(card, after_wake.calibrate(model, verify="none"))


def _set_prior(network: XVector, card: Card, cache: Path) -> None:
    """Shift the background's logits to what calibration clips ask for."""
    path = cache / "strips.onnx"
    write(xvector.stream_graph(network, int8=False), card, path, overwrite=True)
    shifts = prior.fit(kws.load(path), "calibration")
    with torch.no_grad():
        for name, shift in shifts.items():
            network.classify.bias[LABELS.index(name)] += shift
    print(f"logits shifted: {shifts}")


def _draft(network: XVector, checkpoint: Path, cache: Path) -> Card:
    config = network.config
    lengths = _median_lengths(cache)
    roles = {name: role for role, names in ROLES.items() for name in names}
    return Card(
        version=cards.VERSION,
        kind="stream",
        family=xvector.FAMILY,
        sample_rate=RATE,
        window=config.window,
        hop=config.hop_samples,
        labels=[
            Label(name, roles[name], phrase=name, median_length_s=lengths[name])  # type: ignore[arg-type]
            if name in KEYWORDS
            else Label(name)
            for name in LABELS
        ],
        activation="softmax",
        producer=kws.__version__,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        name="kws-en-13",
        description="ten commands and three wake words, English",
        decision=cards.Decision(smoothing_s=0.16),
        source=origin.Source("export.training", _sha256(checkpoint)),
        data=[origin.Data(name, licence, by) for name, licence, by in DATA],
        licence="Apache-2.0",
        languages=["en"],
        quantization=origin.Quantization("int8-storage", ["features", "bias", "scale", "shift"]),
        network=cards.Network(xvector.FAMILY, config.as_card()),
    )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _median_lengths(cache: Path) -> dict[str, float]:
    words = corpus.gather(cache).words
    return {
        LABELS[i]: round(float(np.median([w.last - w.first for w in group])) / RATE, 3)
        for i, group in enumerate(words)
        if group
    }


def parity_clips() -> list[Samples]:
    """Return the recordings on which a file is held against its network."""
    clips = recordings.table("speech_commands", "calibration")[::40]
    clips += recordings.table("wake", "calibration")[::10]
    return [float_audio(audio) for audio in recordings.load(clips) if len(audio) >= RATE // 2]


def _verify_float(network: XVector, card: Card, clips: Sequence[Samples], cache: Path) -> None:
    path = cache / "float.onnx"
    write(xvector.stream_graph(network, int8=False), card, path, overwrite=True)
    parity = stream.compare(kws.load(path), network, clips, drift=FLOAT_DRIFT)
    if parity.top1_agreement < 1:
        raise ParityError(f"{path}: the float32 graph disagrees with torch: {parity}")
    print(f"float32 graph against torch: {parity.max_difference:.1e} on {parity.clips} clips")


def points(
    model: kws.Model,
    settings: dict[str, Any],
    verifier: kws.Model | None = None,
    *,
    table: Path,
) -> list[cards.OperatingPoint]:
    """Return operating points from the calibration split, of the model or with its verifier.

    table: where it is written as JSON what each threshold costs in noise (see `search.trades`);
    for those that ship it is printed.
    """
    hops = round(model.card.decision.smoothing_s * RATE / model.card.hop)
    words, speech = calibrate.calibration_tracks(model, verifier)
    smoothing = hops if verifier is None else 1  # what is compared is smoothed already
    peaks = {
        role: calibrate.find_peaks(words, speech[role], model.labels, names, smoothing)
        for role, names in ROLES.items()
    }
    found, trades = calibrate.operating_points(peaks, rates=settings["false_alarms"])
    _show_trades(trades, settings)
    table.write_text(json.dumps(trades, indent=1) + "\n", encoding="utf-8")
    return found


def _show_trades(trades: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Print what the thresholds that ship cost in noise for the last tenth of a false alarm."""
    for point in trades:
        if point["false_alarms_per_hour"] != settings[point["role"]]:
            continue
        for name, trade in point["keywords"].items():
            mark = "" if trade["costs"] <= search.STEEPEST else "  MORE THAN 3 POINTS"
            print(
                f"{name:10} {trade['threshold']:.4f}: {trade['per_hour']:.2f} FA/h, misses "
                f"{trade['missed']:.1%} in noise, {trade['costs']:.1%} less at "
                f"{trade['lower']:.4f}, {search.LAST_TENTH} FA/h more{mark}"
            )
    for role in ROLES:
        rates = [
            point["false_alarms_per_hour"]
            for point in trades
            if point["role"] == role
            and all(each["costs"] <= search.STEEPEST for each in point["keywords"].values())
        ]
        print(f"{role}: at most 3 points each at {', '.join(map(str, rates)) or 'no'} FA/h")


def thresholds(
    found: Sequence[cards.OperatingPoint], settings: dict[str, Any]
) -> dict[str, Threshold]:
    """Return the thresholds that ship: those of each role's rate."""
    shipped = {}
    for point in found:
        if point.false_alarms_per_hour == settings[point.role]:
            for name, value in point.thresholds.items():
                shipped[name] = Threshold(value, point.measured)
    return shipped


def _ms_per_call(model: kws.Model) -> float:
    audio = np.random.default_rng(1).normal(0, 0.01, (1, model.card.hop)).astype(np.float32)
    state, times = model.initial_state, []
    for _ in range(200):
        begun = time.perf_counter()
        _, state = model.run(audio, state)
        times.append(time.perf_counter() - begun)
    return round(float(np.median(times)) * 1e3, 3)
