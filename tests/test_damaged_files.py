"""Damaged files: whatever stands in a model, an override file or a config is told in one line."""

import io
import json
import logging
import random

import models
import numpy as np
import onnx
import pytest
import soundfile
from audio_files import written
from command import kws
from onnx import helper
from test_serve import service

from kws import card as cards
from kws import selftest
from kws.card import KEY, Decision, SelfTest, encode, replace
from kws.errors import ConfigError, ModelError
from kws.gates import detector
from kws.overrides import read_overrides
from kws.selftest import deviation
from kws.session import load

__all__ = ["kws", "service"]

CARD = models.card()
WINDOW = models.card("window")


def with_text(path, text, like=CARD):
    """Write a model whose card is this text."""
    model = onnx.load(models.write(path, like))
    helper.set_model_props(model, {KEY: text})
    onnx.save(model, path)
    return path


def changed(card=CARD, **fields):
    return json.dumps({**json.loads(encode(card)), **fields})


def not_utf8(path):
    models.write(path)
    path.write_bytes(path.read_bytes().replace(b'"tones"', b'"ton\xffs"'))


def silence(seconds):
    """FLAC, hours of it in a few kilobytes."""
    content = io.BytesIO()
    soundfile.write(content, np.zeros(seconds * models.RATE), models.RATE, format="FLAC")
    return content.getvalue()


MODELS = {
    "not UTF-8": not_utf8,
    "nested": lambda path: with_text(path, "[" * 100_000),
    "nested inside": lambda path: with_text(path, '{"version":1,"x":' + "[" * 100_000),
    "smoothing": lambda path: with_text(path, changed(decision={"smoothing_s": 1e300})),
    "refractory": lambda path: with_text(path, changed(decision={"refractory_s": 1e18})),
    "window": lambda path: with_text(path, changed(window=10**15)),
    "rate": lambda path: with_text(path, changed(sample_rate=10**9)),
    "latency": lambda path: with_text(path, changed(latency=10**15)),
    "hop of a sample": lambda path: with_text(path, changed(hop=1, window=10**6)),
    "other hop": lambda path: models.write(path, models.card(hop=160), hop=320),
    "other window": lambda path: models.write(path, models.card("window", hop=160), hop=320),
    "hangover": lambda path: with_text(path, changed(gate={"name": "none", "hangover_s": 1e300})),
    "length": lambda path: with_text(
        path, changed(labels=[{"name": "yes", "role": "keyword", "median_length_s": 1e300}])
    ),
}
"""What can be wrong with a model file so that it can't be opened, and who writes one."""

SELF_TESTS = {
    "hours": SelfTest(silence(3_600), [[0.0] * 4]),
    "no audio": SelfTest(b"no flac", [[0.0] * 4]),
    "ragged": SelfTest(silence(1), [[0.0], [0.0, 1.0]]),
    "nothing": SelfTest(silence(0), [[0.0] * 4]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_model_is_told_in_one_line(kws, tmp_path, name):
    path = tmp_path / "damaged.onnx"
    MODELS[name](path)
    recording = written(tmp_path, "words.wav", models.noise(0.5), models.RATE)
    for command in (["info", path], ["spot", "--model", path, recording]):
        result = kws(*command)

        assert result.code == 2
        assert result.out == ""
        assert result.err.startswith(f"kws: {path}: ")
        assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", SELF_TESTS)
def test_a_damaged_self_test_is_the_model_s_fault(tmp_path, name):
    card = models.card(self_test=SELF_TESTS[name])
    with pytest.raises(ModelError, match="its self-test"):
        deviation(load(models.write(tmp_path / "tones.onnx", card)))


def test_a_window_model_that_fails_when_it_is_run_is_a_model_error(tmp_path):
    """A dynamic number of samples, of which the graph takes one only."""
    model = onnx.load(models.write(tmp_path / "window.onnx", WINDOW))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "samples"
    helper.set_model_props(model, {KEY: encode(replace(WINDOW, window=1_000, hop=320))})
    onnx.save(model, tmp_path / "window.onnx")
    broken = load(tmp_path / "window.onnx")

    with pytest.raises(ModelError, match="can't be run"):
        broken.scores(models.noise(1_000 / models.RATE))


@pytest.mark.parametrize("threshold", ["high", -1.0, 1e300])
def test_a_gate_s_parameters_are_looked_at_before_it_hears(tmp_path, threshold):
    card = models.card(labels=[*models.LABELS[:3], cards.Label("_silence_")])
    model = load(models.write(tmp_path / "gate.onnx", card))
    with pytest.raises(ConfigError, match="threshold from 0 to 1"):
        detector("learned", models.RATE, {"threshold": threshold}, model)


OVERRIDES = {
    "nested": "[" * 100_000,
    "smoothing": '{"decision": {"smoothing_s": 1e300}}',
    "refractory": '{"decision": {"refractory_s": 1e18}}',
    "negative": '{"decision": {"release_s": -1}}',
    "threshold": '{"thresholds": {"yes": 1e300}}',
    "unknown": '{"decision": {"speed": 1}}',
}


@pytest.mark.parametrize("name", sorted(OVERRIDES.keys() - {"threshold"}))
def test_damaged_overrides_are_a_config_error(tmp_path, name):
    path = tmp_path / "overrides.json"
    path.write_text(OVERRIDES[name])
    with pytest.raises(ConfigError, match=r"overrides\.json: "):
        read_overrides(path)


def test_a_reload_of_a_damaged_file_changes_nothing(service, tmp_path, caplog):
    """A daemon that hears goes on with what it had; each is told in one line."""
    one = service()
    was, good = one.daemon._built, one.path.read_text()
    bad, kept = tmp_path / "bad.onnx", tmp_path / "kws.thresholds.json"

    def reload(text):
        caplog.clear()
        one.path.write_text(text)
        with caplog.at_level(logging.ERROR, "kws"):
            one.daemon._reload()
        assert "nothing was changed" in caplog.text
        assert len(caplog.messages) == 1
        assert one.daemon._built is was

    for write in MODELS.values():
        write(bad)
        reload(f'[[model]]\npath = "{bad}"\n')
    for test in SELF_TESTS.values():
        models.write(bad, models.card(self_test=test))
        reload(f'[[model]]\npath = "{bad}"\n')
    for text in OVERRIDES.values():
        kept.write_text(text)
        reload(good)
    kept.unlink()
    for text in ("a=" + "[" * 100_000, "a=" + "[" * 900 + "]" * 900, "\0"):
        reload(text)


def test_overrides_that_change_while_they_are_read_do_no_harm(service, tmp_path, monkeypatch):
    """What was seen to be right is what holds, whatever stands in the file a moment later."""
    one = service()
    kept = tmp_path / "kws.thresholds.json"
    kept.write_text('{"thresholds": {"yes": 0.9}}')
    arrange = one.daemon._arrange

    def later():
        kept.write_text("no more")
        arrange()

    monkeypatch.setattr(one.daemon, "_arrange", later)
    one.daemon._reload()

    assert one.daemon._built.settings.levels["yes"] == 0.9


def test_what_nobody_expects_of_a_file_changes_nothing(service, monkeypatch, caplog):
    """Whatever is raised while the config is read again."""
    one = service()
    was = one.daemon._built

    def fails(model):
        raise MemoryError("no memory")

    monkeypatch.setattr(selftest, "deviation", fails)
    with caplog.at_level(logging.ERROR, "kws"):
        one.daemon._reload()

    assert one.daemon._built is was
    assert ["MemoryError: no memory; nothing was changed"] == caplog.messages


def test_flipped_bytes_give_no_traceback(kws, tmp_path):
    """The command line tells in one line, or works; the seed makes it the same files each time."""
    recording = written(tmp_path, "words.wav", models.noise(0.5), models.RATE)
    sound = [models.write(tmp_path / "a.onnx"), models.write(tmp_path / "b.onnx", WINDOW)]
    contents = [path.read_bytes() for path in sound]
    path, codes = tmp_path / "flipped.onnx", set()
    for seed in range(40):
        chance = random.Random(seed)
        content = bytearray(chance.choice(contents))
        for _ in range(chance.choice([1, 2, 5, 20])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        result = kws("spot", "--model", path, recording)
        codes.add(result.code)

        assert result.err.count("\n") == (result.code != 0), (seed, result.err)

    assert codes == {0, 2}


def test_bounds_leave_room_for_what_people_use():
    """The longest windows of known models, and slow decisions."""
    slow = Decision(smoothing_s=2.0, release_s=5.0, refractory_s=600.0, wake_window_s=60.0)
    card = replace(WINDOW, window=30 * models.RATE, hop=models.RATE, decision=slow)

    assert card == cards.decode(encode(card), where="x.onnx")
