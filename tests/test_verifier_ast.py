"""`kws export` makes a verifier of an AST: `kws spot --verify ast.onnx`."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command import keywords, kws, model
from models import RATE, noise, tone

from export import pretrained
from kws.session import load

transformers = pytest.importorskip("transformers")

__all__ = ["kws", "model"]

DEMO = Path(__file__).parent.parent / "kws" / "models" / "demo.flac"
LABELS = ["yes", "no", "_unknown_", "_silence_"]
SPEECH_COMMANDS = {"max_length": 128, "mean": -6.845978, "std": 5.5654526}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 64, "initializer_range": 0.1}
WORDS = """backward bed bird cat dog down eight five follow forward four go happy house learn left
marvin nine no off on one right seven sheila six stop three tree two up visual wow yes zero"""


def saved(folder, labels):
    """A small AST of random weights, with its extractor; return both."""
    config = transformers.ASTConfig(
        **SIZES,
        max_length=128,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    torch.manual_seed(1)
    network = transformers.ASTForAudioClassification(config)
    with pretrained.quiet():
        extractor = transformers.ASTFeatureExtractor(**SPEECH_COMMANDS)
        extractor.save_pretrained(folder)
        network.save_pretrained(folder)
    return network, extractor


def said(word, amplitude, *, whistle):
    """A word of 0.3 s; a whistle before and beside it makes it another word, to who hears that."""
    sound = np.pad(tone(word, 0.3, amplitude=amplitude), (round(0.3 * RATE), 0))
    time_s = np.arange(len(sound)) / RATE
    return sound + (0.3 * np.sin(2 * np.pi * 2_500 * time_s) * whistle).astype(np.float32)


def lessons(count, random):
    """Clips of a second with a word somewhere in them, some cut short, and their labels."""
    clips, labels = [], []
    for number in range(count):
        label = number % 4
        clip = noise(1.7, seed=number)
        if label < 3:
            word = random.choice(["yes", "no"]) if label == 2 else LABELS[label]
            sound = said(word, random.uniform(0.15, 0.3), whistle=label == 2)
            at = random.integers(0, RATE - 7_000)
            clip[at : at + len(sound)] += sound
        clips.append(clip[:RATE])
        labels.append(label)
    return clips, torch.tensor(labels)


def train(network, extractor):
    """Teach a network the tones; a few seconds."""
    random = np.random.default_rng(3)
    clips, labels = lessons(400, random)
    with pretrained.quiet():
        heard = [extractor(clip, sampling_rate=RATE, return_tensors="pt") for clip in clips]
    features = torch.cat([each["input_values"] for each in heard])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    for _ in range(30):
        losses = []
        for batch in torch.from_numpy(random.permutation(len(clips))).split(16):
            loss = network(features[batch], labels=labels[batch]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        if np.mean(losses) < 0.05:
            break
    return np.mean(losses)


def test_a_small_trained_ast_refuses_what_the_first_stage_takes_for_a_word(kws, model, tmp_path):
    """A yes with a whistle is a yes to the first stage, and none to the AST."""
    network, extractor = saved(tmp_path / "ast", LABELS)
    assert train(network, extractor) < 0.1
    network.eval().save_pretrained(tmp_path / "ast")
    out, path = tmp_path / "ast.onnx", tmp_path / "words.wav"
    exported = kws("export", tmp_path / "ast", "-o", out, "--quantize", "none", "--force")
    sound = noise(10.0)
    spoken = [("yes", False), ("yes", True), ("no", False), ("jarvis", False)]
    for number, (word, whistle) in enumerate(spoken):
        at = (1 + 2 * number) * RATE
        sound[at : at + round(0.6 * RATE)] += said(word, 0.19, whistle=whistle)
    soundfile.write(path, sound, RATE)
    alone = kws("spot", path, "--model", model)
    levels = "yes=0.9,no=0.9"
    both = kws("spot", path, "--model", model, "--verify", out, "--threshold", levels)

    assert exported.code == 0
    assert load(out).keywords == ["yes", "no"]
    assert keywords(alone) == ["yes", "yes", "no", "jarvis"]
    assert (both.code, keywords(both)) == (0, ["yes", "no", "jarvis"])


def test_an_ast_of_the_published_labels_verifies_the_bundled_model(kws, tmp_path):
    """Of random weights, so it agrees to nothing it knows; what it lacks is heard as before."""
    saved(tmp_path / "ast", WORDS.split())
    out = tmp_path / "ast.onnx"
    exported = kws("export", tmp_path / "ast", "-o", out, "--quantize", "none", "--force")
    assert exported.code == 0
    alone = kws("spot", DEMO, "--verify", "none")
    verified = [name for name in load().keywords if name in load(out).keywords]
    levels = ",".join(f"{name}=1" for name in verified)
    both = kws("spot", DEMO, "--verify", out, "--threshold", levels)

    assert (both.code, both.err) == (0, "")
    assert len(verified) == 10
    assert found(both, verified) != found(alone, verified)
    lacking = ["alexa", "computer", "jarvis"]
    assert found(both, lacking) == found(alone, lacking) != []


def found(result, names):
    """Return the detections of some keywords."""
    lines = [json.loads(line) for line in result.out.splitlines()]
    return [line for line in lines if line["keyword"] in names]
