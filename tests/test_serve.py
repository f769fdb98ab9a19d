"""The daemon by hand: what is alive, what hears well, and what ends it."""

import math
import threading
import time
from pathlib import Path

import models as tones
import numpy as np
import pytest
from models import RATE, noise
from serving import PATIENCE_S, Clock, Fake
from telling import until

from kws import selftest
from kws.card import Label, SelfTest, encode, replace
from kws.errors import ModelError
from kws.flow import Block
from kws.origin import Quantization
from kws.serve import audience, daemon
from kws.serve.build import build
from kws.serve.config import Config, Health, Microphone
from kws.serve.config import Model as Wanted
from kws.serve.daemon import Daemon
from kws.serve.ears import DiedError, Ears
from kws.serve.notify import Notify
from kws.serve.vital import Vital
from kws.session import Model, load
from kws.sinks import Playing

# -- vital signs ------------------------------------------------------------------------------


class Life:
    """A microphone's vital signs over a time, which begins at 1000 s."""

    def __init__(self, **limits):
        self.now = 1_000.0
        self.vital = Vital(Health(**limits), self.now)

    def hear(self, seconds, *, level_db=-40.0, gate_open=False, scored=False, step=0.5):
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + step)
            self.vital.heard(self.now, level_db=level_db, gate_open=gate_open, scored=scored)

    @property
    def alive(self):
        return self.vital.alive(self.now)

    @property
    def dead(self):
        return self.vital.dead(self.now)

    @property
    def health(self):
        return self.vital.health(self.now)


def test_a_microphone_lives_while_frames_come():
    life = Life()
    assert ("deaf", ["the microphone gave nothing yet"]) == life.health
    life.hear(60)
    assert ("ok", []) == life.health
    life.now += 4.9
    assert life.alive
    life.now += 0.2
    assert not life.alive
    assert ("deaf", ["no frame for 5 s, no score for 65 s"]) == life.health
    assert not life.dead
    life.now += 56
    assert life.dead


def test_with_an_open_gate_scores_are_needed_too():
    life = Life()
    life.hear(100)
    life.hear(4.5, gate_open=True)
    assert life.alive  # the gate has just opened: the first score comes a hop later
    life.hear(1, gate_open=True)
    assert not life.alive
    assert ("deaf", ["no frame for 0 s, no score for 5 s"]) == life.health
    life.hear(0.5, gate_open=True, scored=True)
    assert life.alive


def test_an_outage_is_borne_for_ten_minutes():
    life = Life()
    life.hear(5, gate_open=True, scored=True)
    life.vital.away(life.now, "unplugged")
    for _ in range(599):
        life.now += 1
        life.vital.sign(life.now)
        assert life.alive
        assert ("deaf", ["unplugged"]) == life.health
    assert not life.dead
    assert life.vital.status(life.now) == "away for 599 s"
    life.now += 1
    assert not life.alive
    life.hear(0.5, gate_open=True)
    assert life.alive  # its first score comes a hop after the return
    assert ("ok", []) == life.health


def test_who_looks_for_a_microphone_and_hangs_is_dead():
    life = Life()
    life.hear(5)
    life.vital.away(life.now, "gone")
    life.now += 59
    assert not life.dead
    life.now += 2
    assert life.dead


def test_a_process_that_stood_still_is_neither_deaf_nor_dead():
    life = Life()
    life.hear(5, gate_open=True, scored=True)
    life.now += 3_600
    assert life.dead
    life.vital.woke(life.now)

    assert not life.dead
    assert life.alive
    assert ("ok", []) == life.health


def test_every_complaint_comes_after_its_time_and_goes():
    life = Life()
    life.hear(600, level_db=-90)
    assert ("ok", []) == life.health
    life.hear(60, level_db=-90)
    assert ("degraded", ["under -80 dBFS for 11 min"]) == life.health
    life.vital.zeros = True
    assert ("degraded", ["digital silence: muted, or broken"]) == life.health
    life.vital.zeros = False
    life.hear(1, level_db=-79)
    assert ("ok", []) == life.health
    life.hear(24 * 3_600, step=60)
    assert ("degraded", ["the gate has not opened for 24 h"]) == life.health
    life.hear(1, gate_open=True, scored=True)
    assert ("ok", []) == life.health


def test_limits_come_from_the_config():
    life = Life(quiet_db=-50, quiet_min=1, unopened_h=0.5)
    life.hear(1_801, level_db=-60)

    assert "degraded" == life.health[0]
    assert ["under -50 dBFS for 30 min", "the gate has not opened for 1 h"] == life.health[1]


def test_the_time_without_a_microphone_was_neither_quiet_nor_without_a_voice():
    life = Life()
    life.hear(300, level_db=-90)
    life.vital.away(life.now, "unplugged")
    life.now += 48 * 3_600
    life.hear(200, level_db=-90)
    assert ("ok", []) == life.health
    life.hear(200, level_db=-90)

    assert ("degraded", ["under -80 dBFS for 12 min"]) == life.health


def test_the_status_is_one_line():
    life = Life()
    life.hear(1, level_db=-48, gate_open=True)
    life.now += 0.04

    assert life.vital.status(life.now) == "frame 40 ms ago, -48 dBFS, gate open"


# -- ears -------------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path):
    path = tones.write(tmp_path / "tones.onnx")
    return build(Config(model=[Wanted(path=str(path))], microphone=[Microphone(name="kitchen")]))


@pytest.fixture
def portless(monkeypatch):
    """No sound devices are looked for."""
    monkeypatch.setattr("kws.serve.ports.inputs.refresh", lambda: None)


def test_a_listener_that_died_ends_the_daemon(built, portless):
    def make(microphone):
        raise ValueError(microphone.name)

    ears = Ears(make, print)
    ears.arrange(built)
    until(lambda: next(iter(ears._listeners.values())).failure)

    with pytest.raises(
        DiedError, match=r"kitchen: its listener died \(ValueError: kitchen\)"
    ) as died:
        ears.alive()
    assert died.value.exit_code == 4
    assert ears.close(PATIENCE_S)


class Quiet(Fake):
    """A microphone that gives quiet noise as fast as it is taken, until it is closed.

    begins: when it gives the first; None: at once.
    """

    def __init__(self, begins=None):
        super().__init__(Clock(), None)
        self._begins = begins

    def __iter__(self):
        at = 0
        if self._begins is not None:
            self._begins.wait(PATIENCE_S)
        while not self.closed:
            time.sleep(0.001)
            yield Block(noise(0.04), at, RATE, None)
            at += 640


def test_microphones_come_and_go_and_those_that_stay_hear_on(built, portless):
    opened, facts = [], []

    def make(microphone):
        opened.append((microphone.name, Quiet()))
        return opened[-1][1]

    def arrange(*names):
        wanted = [Microphone(name=name) for name in names]
        config = Config(model=built.config.model, microphone=wanted)
        ears.arrange(build(config))

    ears = Ears(make, facts.append)
    arrange("kitchen", "hall")
    until(lambda: len(opened) == 2 and ears.alive())
    ears.health()
    until(lambda: all(state.state == "ok" for state in [*ears.health(), *ears._health.values()]))
    arrange("hall", "attic")
    until(lambda: len(opened) == 3)

    assert sorted(name for name, _ in opened) == ["attic", "hall", "kitchen"]
    assert ["kitchen"] == [name for name, source in opened if source.closed]
    assert "hall: frame" in ears.status
    assert ears.close(PATIENCE_S)
    assert all(source.closed for _, source in opened)
    assert not facts


def test_health_is_told_when_it_changes(built, portless):
    begins = threading.Event()
    ears = Ears(lambda microphone: Quiet(begins), print)
    ears.arrange(built)
    assert [] == ears.health()  # nothing was heard yet, which is no news
    begins.set()
    told = []
    until(lambda: told.extend(ears.health()) or told)
    assert [("kitchen", "ok")] == [(one.microphone, one.state) for one in told]
    vital = next(iter(ears._listeners.values())).vital
    vital.zeros = True
    (changed,) = ears.health()
    assert ("degraded", ("digital silence: muted, or broken",)) == (changed.state, changed.reasons)
    assert [] == ears.health()
    ears.close(PATIENCE_S)


# -- self-test --------------------------------------------------------------------------------


@pytest.fixture
def tested(models, tmp_path):
    """Write a model with a self-test, changed or not."""

    def write(kind, change=lambda test: test):
        test = change(selftest.made(models[kind]))
        return load(tones.write(tmp_path / f"{kind}.onnx", tones.card(kind, self_test=test)))

    return write


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_a_model_gives_the_scores_that_its_card_holds(tested, kind):
    model = tested(kind)

    assert len(model.card.self_test.scores) > 1
    assert selftest.deviation(model) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_other_scores_than_the_stored_ones_are_noticed(tested, kind):
    def change(test):
        scores = [list(hop) for hop in test.scores]
        scores[-1][0] += 0.01
        return SelfTest(test.flac, scores)

    assert selftest.deviation(tested(kind, change)) == pytest.approx(0.01, abs=1e-4)


def test_scores_of_another_shape_are_an_error(tested):
    model = tested("stream", lambda test: SelfTest(test.flac, test.scores[1:]))

    with pytest.raises(ModelError, match="shape"):
        selftest.deviation(model)


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_scores_that_are_no_numbers_are_noticed(tested, kind, monkeypatch):
    model = tested(kind)
    monkeypatch.setattr(Model, "run", lambda *_: (np.full((1, 4), np.nan, np.float32), []))

    assert selftest.deviation(model) == math.inf
    with pytest.raises(ModelError, match="no numbers"):
        selftest.made(model)


def test_a_broken_test_is_an_error(tested):
    model = tested("stream", lambda test: SelfTest(b"noise", test.scores))

    with pytest.raises(ModelError, match="can't be read; export it anew"):
        selftest.deviation(model)


def test_a_window_model_that_is_run_less_often_passes_as_well(tested):
    """As on a slow machine."""
    model = tested("window")
    model.card = replace(model.card, hop=2 * model.card.hop)

    assert selftest.deviation(model) < selftest.TOLERANCE


def test_without_a_stored_test_there_is_no_verdict(models):
    assert selftest.deviation(models["stream"]) is None


@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.parametrize(("rate", "labels"), [(16_000, 5), (16_000, 700), (48_000, 50)])
def test_a_test_is_small(kind, rate, labels, monkeypatch):
    """Whatever the model: long windows, many labels."""
    names = [Label(str(number), "keyword") for number in range(labels)]
    hop, shape = (320, (1, labels)) if kind == "stream" else (rate, (1, labels))
    card = tones.card(
        kind, hop=hop, window=10 * rate, sample_rate=rate, labels=names, thresholds={}
    )
    rng = np.random.default_rng(1)
    model = object.__new__(Model)
    model.card, model.gate, model.initial_state = card, None, []
    model.path = Path("model.onnx")

    def run(self, audio, state=None):
        return rng.random(shape).astype(np.float32) / (labels / 5), []

    monkeypatch.setattr(Model, "run", run)
    added = encode(replace(card, self_test=selftest.made(model)))

    assert len(added) - len(encode(card)) < 20_000


def test_the_bundled_model_holds_a_test_that_it_passes():
    assert selftest.deviation(load()) < selftest.TOLERANCE


def loaded(model):
    """A model as the daemon has it."""
    return build(Config(model=[Wanted(path=str(model.path))])).models[0]


def test_a_model_without_a_test_gets_one_when_it_is_loaded(models):
    """So that it is noticed when it changes."""
    model = loaded(models["stream"])

    assert selftest.deviation(model) < selftest.TOLERANCE


@pytest.mark.parametrize(("scheme", "off"), [("int8-dynamic", 0), ("int8-storage", 0.01)])
def test_int8_scores_otherwise_on_other_processors(models, tmp_path, caplog, scheme, off):
    """That is told, and no reason to end; other models must give what is stored."""
    test = selftest.made(models["window"])
    test.scores[-1][0] += 0.01
    quantization = Quantization(scheme)
    card = tones.card("window", self_test=test, quantization=quantization)
    model = loaded(load(tones.write(tmp_path / "int8.onnx", card)))

    assert selftest.deviation(model) == pytest.approx(off, abs=2e-4)
    assert ("on this processor int8 scores otherwise, by 0.010" in caplog.text) == (off == 0)


# -- the daemon -------------------------------------------------------------------------------


class Service:
    """A daemon by hand, whose clock and ticks are ours. fed: when it fed the watchdog."""

    def __init__(self, monkeypatch, folder, text="", *, source=Quiet):
        self.clock, self.fed, self.facts = Clock(), [], []
        monkeypatch.setattr("kws.serve.ports.inputs.refresh", lambda: None)
        monkeypatch.setattr("kws.serve.logs.begin", lambda settings: None)
        monkeypatch.setattr("kws.serve.audience.Audience.tell", lambda _, f: self.facts.append(f))
        monkeypatch.setattr(Notify, "watchdog", lambda _: self.fed.append(self.clock.now))
        self.path = folder / "kws.toml"
        self.path.write_text(f'[[model]]\npath = "{folder}/tones.onnx"\n{text}')
        self.daemon = Daemon(self.path, lambda microphone: source(), Notify({}), clock=self.clock)
        self.daemon._arrange()

    @property
    def vital(self):
        return next(iter(self.daemon._ears._listeners.values())).vital

    def tick(self, seconds):
        self.clock.now += seconds
        self.daemon._tick()

    def close(self):
        self.daemon._ears.close(PATIENCE_S)
        self.daemon._audience.close(PATIENCE_S)


class Hung(Fake):
    """A microphone that gives one block, and hangs until it is closed."""

    def __init__(self):
        super().__init__(Clock(), None)
        self._end = threading.Event()

    def __iter__(self):
        yield Block(noise(0.04), 0, RATE, None)
        self._end.wait(PATIENCE_S)

    def close(self):
        self._end.set()


@pytest.fixture
def service(monkeypatch, tmp_path):
    tones.write(tmp_path / "tones.onnx")
    made = []

    def make(*options, **named):
        made.append(Service(monkeypatch, tmp_path, *options, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_watchdog_is_fed_while_audio_comes(service):
    """And not by the tick itself: a listener that hangs starves it, and ends the daemon."""
    one = service(source=Hung)
    until(lambda: one.vital.away_since is None)
    for _ in range(9):
        one.tick(0.5)
    assert len(one.fed) == 9
    for _ in range(100):
        one.tick(0.5)
    assert len(one.fed) == 9
    assert ["deaf"] == [fact.state for fact in one.facts]
    one.clock.now = one.vital.sign_at + 60
    one.daemon._ticked = one.clock.now
    one.tick(0)
    with pytest.raises(DiedError, match="microphone: its listener is stuck"):
        one.tick(0.5)


def test_a_process_that_stood_for_an_hour_goes_on(service):
    one = service()
    until(lambda: one.vital.away_since is None)
    one.tick(0.5)
    fed = len(one.fed)
    one.tick(3_600)
    assert len(one.fed) == fed  # nothing was heard since
    one.tick(0.5)

    assert len(one.fed) == fed + 1
    assert not [fact for fact in one.facts if fact.state == "deaf"]


def test_playback_ends_by_itself(service):
    """Told from any thread, done on the daemon's own."""
    one = service('[playback]\nlive = ["no"]\nmax_s = 20\n')
    until(lambda: one.vital.away_since is None)
    thread = threading.Thread(target=one.daemon.playback, args=(True,))
    thread.start()
    thread.join(PATIENCE_S)
    assert not one.facts
    one.daemon._asked.get(timeout=PATIENCE_S)()
    for _ in range(39):
        one.tick(0.5)
    assert [True] == [fact.on for fact in one.facts if isinstance(fact, Playing)]
    one.tick(0.5)

    assert [True, False] == [fact.on for fact in one.facts if isinstance(fact, Playing)]


def test_a_model_that_hears_wrongly_ends_the_daemon(service, tested, monkeypatch):
    """At the start, and at the self-test every ten minutes."""
    one, done = service(), []
    monkeypatch.setattr(Ears, "alive", lambda self: True)
    monkeypatch.setattr(selftest, "deviation", lambda model: done.append(one.clock.now) or 1e-3)
    for _ in range(1_801):
        one.tick(1)
    assert [600, 1_200, 1_800] == [round(at - 1_000) for at in done]
    monkeypatch.setattr(selftest, "deviation", lambda model: 1.1e-3)

    one.clock.now += 600
    with pytest.raises(DiedError, match=r"tones\.onnx: hears wrongly: .* is off by 0\.0011"):
        one.tick(0)
    with pytest.raises(DiedError, match="hears wrongly"):
        one.daemon.run()


def test_a_broken_model_in_a_new_config_changes_nothing(service, monkeypatch, caplog):
    one = service()
    was = one.daemon._built
    monkeypatch.setattr(selftest, "deviation", lambda model: 0.5)
    one.daemon._reload()
    assert "off by 0.5000; nothing was changed" in caplog.text
    one.path.write_text("[[model]]\npath = 3\n")
    one.daemon._reload()
    assert f"{one.path}, line 2: " in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]

    assert one.daemon._built is was
    assert daemon.EARS_STOP_S < daemon.FLUSH_S
    assert daemon.FLUSH_S + audience.ABANDON_S + daemon.EXIT_S <= 1
