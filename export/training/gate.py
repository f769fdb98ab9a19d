"""The gate: a small network that knows voices from other sounds, for `kws/gates/learned.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.checkpoints import xvector
from export.training import calibrate, corpus, recordings
from export.training.corpus import Corpus
from export.training.lessons import Lessons
from export.training.recordings import Clip
from export.training.train import Trainer
from export.training.vocabulary import UNKNOWN, Vocabulary
from export.write import write
from kws import card as cards
from kws import origin
from kws.evaluate.intervals import wilson
from kws.evaluate.match import Word
from kws.evaluate.peaks import word_peaks
from kws.flow import Samples
from kws.gates import detector
from kws.session import Model

VOICES = Vocabulary(("word",))
"""A word, other speech, none: the network learns three labels; only the last one is asked for."""
TALKATIVE = ("ovos-false-activations", "ovos-elt", "mycroft-bg", "max-audio-classifier")
"""Sources of noise that hold speech: televisions, people behind walls."""
SNR_DB = 10.0
LATE_S = 0.3
"""So long after a word's end the gate may still open: what it missed lies within the pre-roll."""


@dataclass(frozen=True)
class Made:
    """The gate as a card holds it, its network as a model file, and what was measured of it."""

    gate: cards.Gate
    network: bytes
    accuracy: list[origin.Accuracy]


def silent(split: str) -> list[Clip]:
    """Return a split's noise in which nobody speaks."""
    return [c for c in recordings.table("noise", split) if not c.source.startswith(TALKATIVE)]


def make(recipe: dict[str, Any], work: Path, model: Model) -> Made:
    """Train what is left to train in `work`; find the threshold on calibration recordings.

    model: the one that the gate is for, with its thresholds.
    """
    folder, settings = work / "gate", recipe["gate"]
    folder.mkdir(parents=True, exist_ok=True)
    taught = {name: settings[name] for name in ("network", "strips", "training")}
    trainer = Trainer({"seed": recipe["seed"], **taught}, folder, _lessons(work))
    trainer.resume()
    trainer.run()
    path = folder / "gate.onnx"
    state = torch.load(trainer.checkpoint, map_location="cpu", weights_only=True)
    network = xvector.read_network(state)
    write(xvector.stream_graph(network), _card(network), path, overwrite=True)
    return _measured(Model.load(path), path.read_bytes(), settings, model)


def _lessons(work: Path) -> Lessons:
    """Return the bundled model's lessons, all words alike."""
    found = corpus.gather(work)
    ours = [replace(word, label=0) for group in found.words[:UNKNOWN] for word in group]
    others = [replace(word, label=VOICES.unknown) for word in found.words[UNKNOWN]]
    noise = [audio for audio in recordings.load(silent("train")) if len(audio) > corpus.SHORTEST]
    taught = Corpus([ours, others, []], found.speech, noise)
    return Lessons(VOICES, taught, recordings.rooms("train"))


def _card(network: Any) -> cards.Card:
    config = network.config
    return cards.Card(
        version=cards.VERSION,
        kind="stream",
        family=xvector.FAMILY,
        sample_rate=recordings.RATE,
        window=config.window,
        hop=config.hop_samples,
        labels=[cards.Label(name, "background") for name in VOICES.labels],
        activation="softmax",
        producer="export.training",
        date="",
    )


def _measured(gate: Model, content: bytes, settings: dict[str, Any], model: Model) -> Made:
    """Find the threshold that lets almost all words pass that the model would detect."""
    pieces, truth = calibrate.word_stream("calibration")
    clean = np.concatenate(pieces)
    noise = [calibrate.float_audio(audio) for audio in recordings.load(silent("calibration"))]
    tape = np.concatenate([audio / max(1e-6, _rms(audio)) for audio in noise])
    heard = (clean, noisy(clean, truth, tape))
    peaks = np.concatenate(
        [_peaks(gate, audio, truth)[_detected(model, audio, truth)] for audio in heard]
    )
    threshold = round(float(np.quantile(peaks, 1 - settings["opens"])), 4)
    parameters = {"mode": settings["mode"], "threshold": threshold}
    opened = int((peaks >= threshold).sum())
    voiced, frames = _voiced(gate, noise, parameters)
    return Made(
        cards.Gate("learned", parameters, hangover_s=settings["hangover_s"]),
        content,
        [
            _figure("words that open the gate", opened, len(peaks), "calibration, some in noise"),
            _figure("noise taken for voice", voiced, frames, "calibration, frames of 20 ms"),
        ],
    )


def _figure(name: str, hits: int, count: int, of: str) -> origin.Accuracy:
    low, high = wilson(hits, count)
    return origin.Accuracy(name, hits / count, low, high, count, of, "python -m export.training")


def noisy(clean: Samples, truth: Sequence[Word], noise: Samples) -> Samples:
    """Return words with noise behind them, so far below as the recipe `standard` says."""
    rate = recordings.RATE
    words = [clean[round(w.start_s * rate) : round(w.end_s * rate)] for w in truth]
    gain = np.float32(_rms(np.concatenate(words)) * 10 ** (-SNR_DB / 20) / _rms(noise))
    mixed: Samples = clean + np.resize(noise, len(clean)) * gain
    return mixed


def _rms(audio: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def _peaks(model: Model, audio: Samples, truth: Sequence[Word]) -> Samples:
    """Return how surely each word is taken for a voice, at its surest."""
    hop, state, voice = model.card.hop, model.initial_state, []
    silence = model.labels.index("_silence_")
    for start in range(0, len(audio) - hop + 1, hop):
        scores, state = model.run(audio[None, start : start + hop], state)
        voice.append(1 - scores[0, silence])
    ends = (np.arange(len(voice)) + 1) * hop / model.card.sample_rate
    likely = np.array(voice, np.float32)
    return np.array(
        [
            likely[(ends > word.start_s) & (ends <= word.end_s + LATE_S)].max(initial=0)
            for word in truth
        ],
        np.float32,
    )


def _detected(model: Model, audio: Samples, truth: Sequence[Word]) -> NDArray[np.bool_]:
    """Return which words the model detects at its thresholds, with no gate; all, if it has none."""
    if not model.card.thresholds:
        return np.ones(len(truth), bool)
    heard, hop = calibrate.track(model, [audio]), model.card.hop
    smoothing = max(1, round(model.card.decision.smoothing_s * recordings.RATE / hop))
    found = np.zeros(len(truth), bool)
    for name, threshold in model.card.thresholds.items():
        score = heard.score(model.labels.index(name), smoothing)
        said = [place for place, word in enumerate(truth) if word.label == name]
        found[said] = word_peaks(score, heard.ends, truth, name) >= threshold.value
    return found


def _voiced(model: Model, noise: list[Samples], parameters: dict[str, Any]) -> tuple[int, int]:
    """Return how many frames of noise are taken for voice, and of how many."""
    gate, voiced, frames = detector("learned", recordings.RATE, parameters, model), 0, 0
    for audio in noise:
        gate.reset()
        for start in range(0, len(audio) - gate.frame + 1, gate.frame):
            voiced += gate.voiced(audio[start : start + gate.frame])
            frames += 1
    return voiced, frames
