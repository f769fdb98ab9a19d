"""What can't be heard is counted, and time goes on: bad samples, callbacks that raise."""

import models
import numpy as np
import pytest
from models import RATE, noise, tone
from test_serve_listener import Given, listened

from kws import Spotter
from kws.flow import AudioLost, Block, Detection

SOUND = np.concatenate([noise(0.5), tone("yes", 0.3), noise(1.2), tone("no", 0.3), noise(0.7)])


@pytest.fixture(params=["stream", "window"])
def spotter(request, tmp_path):
    return Spotter(models.write(tmp_path / "tones.onnx", models.card(request.param)))


def words(events):
    return [event.keyword for event in events if isinstance(event, Detection)]


def losses(events):
    return [event for event in events if isinstance(event, AudioLost)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("size", [len(SOUND), 640, 999])
def test_samples_that_are_no_numbers_are_lost_audio(spotter, value, size):
    """Skipped and counted; what lies around them is heard, at its own time."""
    bad = SOUND.copy()
    bad[RATE : 3 * RATE // 2] = value
    events = []
    for at in range(0, len(bad), size):
        events += spotter.process(Block(bad[at : at + size], at, RATE))
    yes, no = (event for event in events if isinstance(event, Detection))

    assert (yes.keyword, no.keyword) == ("yes", "no")
    assert yes.start_s == pytest.approx(0.5, abs=0.05)
    assert no.start_s == pytest.approx(2.0, abs=0.05)
    (lost,) = losses(events)
    assert lost.start_s == pytest.approx(1.0, abs=0.02)
    assert lost.end_s == pytest.approx(1.5, abs=0.02)
    assert spotter.stats.lost_s == pytest.approx(lost.end_s - lost.start_s)
    assert spotter.stats.audio_s + spotter.stats.lost_s == pytest.approx(len(SOUND) / RATE)


def test_they_are_told_of_while_they_last(spotter):
    """Once a second, and what is left at the end."""
    spotter.push(noise(0.5))
    bad = np.full(640, np.nan, np.float32)
    events = []
    for number in range(66):
        events += spotter.process(Block(bad, 8_000 + 640 * number, RATE))
    assert [1.0, 1.0] == [event.end_s - event.start_s for event in losses(events)]
    assert spotter.stats.lost_s == pytest.approx(66 * 0.04)
    events += spotter.finish()

    assert sum(e.end_s - e.start_s for e in losses(events)) == pytest.approx(66 * 0.04, abs=0.02)


def test_a_later_push_begins_where_they_ended(spotter):
    """Without `start`, too; at another rate as well."""
    spotter.push(noise(1))
    assert [] == spotter.push(np.full(48_000, np.nan, np.float32), 48_000)
    (found,) = spotter.push(np.concatenate([noise(0.5), tone("yes", 0.3), noise(0.7)]))

    assert found.start_s == pytest.approx(2.5, abs=0.05)
    assert spotter.stats.lost_s == pytest.approx(1.0)


def test_a_bad_channel_that_nobody_hears_does_no_harm(tmp_path):
    spotter = Spotter(models.write(tmp_path / "tones.onnx"), channel=1)
    both = np.stack([SOUND, np.full_like(SOUND, np.nan)], axis=1)

    assert ["yes", "no"] == words(spotter.push(both))
    assert not spotter.stats.lost_s


def test_callbacks_that_raise_lose_nothing(spotter):
    """All of a long push is heard, all callbacks are called; then the first error is raised."""
    called = []

    @spotter.on("yes")
    @spotter.on("no")
    def fails(detection):
        called.append(detection.keyword)
        raise ValueError(detection.keyword)

    @spotter.on("yes")
    def later(detection):
        called.append("later")

    with pytest.raises(ValueError, match="yes"):
        spotter.push(SOUND)
    assert ["yes", "later", "no"] == called
    assert spotter.stats.audio_s == pytest.approx(len(SOUND) / RATE)
    with pytest.raises(ValueError, match="yes"):
        spotter.push(SOUND)

    assert spotter.stats.audio_s == pytest.approx(2 * len(SOUND) / RATE)
    assert spotter.stats.detections == 4


def test_callbacks_that_raise_at_a_jump_keep_time(spotter):
    @spotter.on(AudioLost)
    def fails(lost):
        raise ValueError("lost")

    spotter.push(noise(1))
    with pytest.raises(ValueError, match="lost"):
        spotter.push(SOUND, start=2 * RATE)
    (found,) = spotter.push(np.concatenate([noise(0.5), tone("yes", 0.3), noise(0.7)]))

    assert found.start_s == pytest.approx(2.5 + len(SOUND) / RATE, abs=0.05)


def test_what_is_interrupted_is_counted_and_keeps_time(spotter):
    """Ctrl-C in the middle of a long push, as in a notebook."""

    @spotter.on("yes")
    def interrupts(detection):
        if detection.time_s < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spotter.push(SOUND)
    heard = spotter.stats
    assert heard.lost_s > 2
    assert heard.audio_s + heard.lost_s == pytest.approx(len(SOUND) / RATE)
    found = spotter.push(np.concatenate([noise(0.5), tone("yes", 0.3), noise(0.7)]))

    assert [len(SOUND) / RATE + 0.5] == [pytest.approx(one.start_s, abs=0.05) for one in found]


def test_a_microphone_that_gives_no_numbers_is_heard_again(tmp_path):
    """The daemon's listener lives, complains while they last, and counts them."""
    bad = SOUND.copy()
    bad[RATE : 3 * RATE // 2] = np.nan
    spotter = Spotter(models.write(tmp_path / "tones.onnx"))
    one, facts = listened(Given(bad), spotter)

    assert ["yes", "no"] == [fact.keyword for fact in facts]
    assert one.failure is None
    assert one.vital.tally.lost_s == pytest.approx(0.5, abs=0.04)
    now = one.vital.unusable_at
    assert ("degraded", True) == (one.vital.health(now)[0], one.vital.alive(now))
    assert "samples that are no numbers" in one.vital.health(now)[1][0]
