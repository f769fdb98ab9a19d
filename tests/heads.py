"""Heads on the shared encoder: random ones, and one that knows a word."""

from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.nn import functional

from export.training.verifier.graph import head_graph
from export.training.verifier.network import Config, Head
from export.write import write
from kws.card import Card, Decision, Gate, Label, Threshold
from kws.encoder import packaged

RATE, WINDOW, HOP = 16_000, 25_600, 2_560
WORDS = Path(__file__).parent / "words"
WORD = "marvin"
OTHERS = ("happy", "house", "nothing", "seven", "stop", "jarvis")


def card(word=WORD, **changes):
    """A card of an own word."""
    fields = {
        "version": 1,
        "kind": "window",
        "family": "kws-head",
        "sample_rate": RATE,
        "window": WINDOW,
        "hop": HOP,
        "min_samples": 1,
        "max_samples": WINDOW,
        "padded_to": WINDOW,
        "labels": [Label(word, "keyword", median_length_s=0.5), Label("_rest_")],
        "activation": "softmax",
        "producer": "tests",
        "date": "2026-01-01",
        "thresholds": {word: Threshold(0.5)},
        "decision": Decision(refractory_s=1.0),
        "gate": Gate("webrtc"),
        "encoder": packaged().id,
    }
    return Card(**fields | changes)


def config(labels=2):
    """Sizes of a small head."""
    return Config(labels, head_width=24, dropout=0.0)


def random_head(seed=1, labels=2):
    """A head of random weights, whose scores differ from window to window."""
    torch.manual_seed(seed)
    made = Head(config(labels))
    made.classify.weight.data.mul_(20)
    return made.eval()


def write_head(path, head=None, what=None):
    """Write a head's file."""
    what = what or card()
    graph = head_graph(head or random_head(), config(len(what.labels)))
    write(graph, what, Path(path), overwrite=True)
    return Path(path)


def said(word):
    """What each voice says: a list of float32 arrays."""
    return [soundfile.read(path, dtype="float32")[0] for path in sorted(WORDS.glob(f"*/{word}.*"))]


def window(audio, after, *, level=1.0):
    """A window at whose end, so many samples before it, audio ends; quiet noise around it."""
    noise = 0.001 * np.random.default_rng(len(audio)).standard_normal(WINDOW)
    found = noise.astype(np.float32)
    end = WINDOW - after
    begin = max(0, end - len(audio))
    found[begin:end] += level * audio[-min(end, len(audio)) :]
    return found


@cache
def trained_head():
    """A head that hears WORD in what the voices of these tests say."""
    windows = {
        1: [window(a, after) for a in said(WORD) for after in (0, 1_000, 2_500, 5_000, 8_000)],
        0: [window(a, after) for w in OTHERS for a in said(w) for after in (500, 5_000)],
    }
    windows[0] += [window(a[: len(a) // 3], 0) for a in said(WORD)]
    labels = torch.tensor([1 - n for n, group in windows.items() for _ in group])
    audio = np.stack([each for group in windows.values() for each in group])
    parts = [packaged().features(audio[at : at + 8]) for at in range(0, len(audio), 8)]
    features = torch.from_numpy(np.concatenate(parts))
    torch.set_num_threads(1)
    torch.manual_seed(4)
    head = Head(config())
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        functional.cross_entropy(head.train()(features)[0], labels).backward()
        optimizer.step()
    return head.eval()
