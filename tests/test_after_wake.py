"""After a wake word commands have thresholds of their own; how those are chosen."""

import numpy as np
import pytest
from models import RATE, TONES, card, noise, tone, write

import kws
from benchmarks.after_wake import figures, hear, outcome
from export.training import after_wake, wake_scenes
from kws.card import OperatingPoint, Rate, Threshold, decode, encode
from kws.errors import DataError
from kws.evaluate.simulation.after_wake import Scene, scene, speech
from kws.serve.build import build
from kws.serve.config import Microphone, read

AFTER = {"yes": Threshold(0.3), "no": Threshold(0.5)}
QUIET = 0.155
"""A tone of this amplitude scores 0.45."""
LEVEL = Rate(1.0, 3, 3.0, 0.2, 2.9)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose card has thresholds for after a wake word."""
    points = [OperatingPoint(1.0, role, names, LEVEL) for role, names in {
        "keyword": {"yes": 0.8, "no": 0.8}, "wake": {"jarvis": 0.7},
    }.items()]  # fmt: skip
    what = card(after_wake=AFTER, operating_points=points)
    return kws.load(write(tmp_path_factory.mktemp("m") / "tones.onnx", what))


def said(*names, amplitude=QUIET):
    parts = [noise(0.5)]
    for name in names:
        loud = 0.3 if name == "jarvis" else amplitude
        parts += [tone(name, 0.3, amplitude=loud), noise(0.6)]
    return np.concatenate(parts)


def words(spotter, *names):
    return [each.keyword for each in spotter.push(np.concatenate([noise(6), said(*names)]))]


# -- which threshold holds ------------------------------------------------------------------


def test_commands_after_a_wake_word_are_heard_at_their_own_thresholds(model):
    spotter = kws.Spotter(model, wake="jarvis")

    assert spotter.thresholds == {"yes": 0.3, "no": 0.5, "jarvis": 0.6}
    assert words(spotter, "jarvis", "yes") == ["jarvis", "yes"]
    assert words(spotter, "yes") == []


def test_without_a_required_wake_word_those_of_the_open_hold(model):
    spotter = kws.Spotter(model)

    assert spotter.thresholds == dict.fromkeys(TONES, 0.6)
    assert words(spotter, "jarvis", "yes") == ["jarvis"]


def test_what_is_asked_for_wins_and_a_sensitivity_is_relative_to_them(model, tmp_path):
    file = tmp_path / "o.json"
    file.write_text('{"thresholds": {"no": 0.7}}')
    spotter = kws.Spotter(
        model, wake="jarvis", overrides=file, sensitivity={"yes": 75}, threshold={"jarvis": 0.9}
    )

    assert spotter.thresholds["no"] == 0.7
    assert spotter.thresholds["jarvis"] == 0.9
    assert spotter.thresholds["yes"] == pytest.approx(0.3 / (0.3 + 4 * 0.7))
    spotter.set_sensitivity(50)
    assert spotter.thresholds == {"yes": 0.3, "no": 0.5, "jarvis": 0.6}


def test_a_rate_of_false_alarms_is_the_wake_word_s(model):
    """Rates were measured in the open; what follows a wake word has nothing to do with them."""
    spotter = kws.Spotter(model, wake="jarvis", false_alarms=1.0)

    assert spotter.thresholds == {"yes": 0.3, "no": 0.5, "jarvis": 0.7}


def test_a_command_free_during_playback_keeps_its_threshold_in_the_open(model):
    """It needs no wake word then, and must not fire as easily as after one."""
    spotter = kws.Spotter(model, wake="jarvis")
    spotter.playback(on=True, live=["yes"])
    assert spotter.thresholds == {"yes": 0.6, "no": 0.5}
    assert words(spotter, "yes") == []
    assert [each.keyword for each in spotter.push(said("yes", amplitude=0.3))] == ["yes"]
    spotter.set_sensitivity({"yes": 25})
    assert spotter.thresholds["yes"] > 0.6
    spotter.set_sensitivity({"yes": 50})
    spotter.playback(on=False)

    assert words(spotter, "jarvis", "yes") == ["jarvis", "yes"]


def test_a_threshold_of_the_user_s_holds_during_playback_too(model):
    spotter = kws.Spotter(model, wake="jarvis", threshold={"yes": 0.4})
    spotter.playback(on=True, live=["yes"])

    assert spotter.thresholds["yes"] == 0.4
    assert words(spotter, "yes") == ["yes"]


def test_the_card_keeps_them(model):
    assert decode(encode(model.card), where="x").after_wake == AFTER


def test_so_it_is_in_the_daemon(model, tmp_path):
    """Every spotter of it, for microphones and for streams: it never fixes what it was not told."""
    config = tmp_path / "kws.toml"
    config.write_text(
        f'[[model]]\npath = "{model.path}"\nsensitivity = {{ no = 75 }}\n'
        '[listen]\nwake = ["jarvis"]\n'
    )
    built = build(read(config), config)
    spotter = built.spotter(Microphone())
    assert spotter.thresholds == {"yes": 0.3, "no": pytest.approx(0.2), "jarvis": 0.6}
    assert built.fixed == ["no"]
    spotter.playback(on=True, live=["yes"])
    assert spotter.thresholds["yes"] == 0.6
    built.settings.set_threshold({"yes": 0.9})
    spotter = built.spotter(Microphone())
    spotter.playback(on=True, live=["yes"])

    assert spotter.thresholds["yes"] == 0.9


# -- scenes ---------------------------------------------------------------------------------

VOICE = np.concatenate([noise(0.3), tone("jarvis", 0.4), noise(0.4)])


def made(following=None, **options):
    rng = np.random.default_rng(1)
    return scene(rng, ("jarvis", VOICE), following, RATE, window_s=5, kind="command", **options)


def test_a_scene_lasts_until_the_wake_window_is_over():
    found = made(tone("yes", 1), said="yes")

    assert found.wake_end_s == pytest.approx(0.8 + 0.3 + 0.4, abs=0.02)
    assert len(found.audio) / RATE == pytest.approx(found.wake_end_s + 6, abs=0.001)
    assert np.abs(found.audio).max() <= 0.97
    assert (found.wake, found.said, found.noisy) == ("jarvis", "yes", False)


def test_what_follows_is_as_loud_as_the_wake_word_and_noise_10_db_below():
    quiet, loud = made(), made(np.concatenate([noise(0.2), tone("yes", 1, amplitude=0.01)]))
    noisy = made(noise=noise(20, amplitude=0.5))
    wake, after = (slice(round(at * RATE), round((at + 0.2) * RATE)) for at in (1.2, 2.5))
    level = {
        name: 20 * np.log10(np.sqrt(np.mean(each.audio[part] ** 2)))
        for name, each, part in [
            ("wake", quiet, wake), ("after", loud, after), ("noise", noisy, after)
        ]
    }  # fmt: skip

    assert level["after"] == pytest.approx(level["wake"], abs=0.5)
    assert level["noise"] == pytest.approx(level["wake"] - 10, abs=1)


def test_speech_goes_on_for_as_long_as_it_must():
    assert len(speech(np.random.default_rng(1), [noise(0.7), noise(1)], 6, RATE)) >= 6 * RATE


# -- choosing -------------------------------------------------------------------------------


def test_scores_are_those_after_the_wake_word(model):
    wakes = [made(tone("yes", 0.5)), made(), made(tone("no", 0.5))]
    found = after_wake.peaks(model, wakes, ["yes", "no"])

    assert (found > 0.6).tolist() == [[True, False], [False, False], [False, True]]


def scored(rng, count, wrong):
    """Wakes, and peaks: commands score 0.9 to 1, all else a log-odds of `wrong` on average."""
    wakes = [Scene(noise(0.01), "command", "jarvis", 0.0, said=name) for name in ("yes", "no")]
    wakes = wakes * count + [Scene(noise(0.01), "nothing", "jarvis", 0.0)] * (2 * count)
    peaks = 1 / (1 + np.exp(-rng.normal(wrong, 1, (4 * count, 2))))
    for row, each in enumerate(wakes[: 2 * count]):
        peaks[row, ["yes", "no"].index(each.said)] = rng.uniform(0.9, 1)
    return wakes, peaks


def test_a_wrong_command_follows_at_most_one_wake_in_a_hundred():
    wakes, peaks = scored(np.random.default_rng(1), 300, 0.0)
    chosen = after_wake.choose(wakes, peaks, ["yes", "no"])
    wakes, peaks = scored(np.random.default_rng(2), 300, 0.0)  # others, which it never saw
    passed = peaks >= [chosen.thresholds[name] for name in ("yes", "no")]
    own = np.array([[each.said == name for name in ("yes", "no")] for each in wakes])

    assert (chosen.wrong.wakes, chosen.commands) == (1200, 600)
    assert chosen.wrong.events <= 12
    assert (passed & ~own).any(1).sum() <= 18  # chance allows that many where 12 are due
    assert chosen.wrong.low <= chosen.wrong.share <= chosen.wrong.high
    assert (passed & own).sum() >= 0.6 * chosen.commands


def test_stricter_is_stricter():
    wakes, peaks = scored(np.random.default_rng(1), 300, 0.0)
    loose, strict = (
        after_wake.choose(wakes, peaks, ["yes", "no"], share=share) for share in (0.02, 0.002)
    )

    assert strict.wrong.events <= 2
    assert loose.wrong.events <= 24
    assert loose.heard > strict.heard
    assert all(strict.thresholds[name] >= loose.thresholds[name] for name in ("yes", "no"))


def test_scenes_in_which_nothing_rises_do_not_make_thresholds_low():
    wakes, peaks = scored(np.random.default_rng(1), 300, -8.0)
    chosen = after_wake.choose(wakes, peaks, ["yes", "no"])

    assert chosen.thresholds == {"yes": after_wake.LEAST, "no": after_wake.LEAST}


def test_too_few_wakes_can_not_speak_of_one_in_a_hundred():
    wakes, peaks = scored(np.random.default_rng(1), 10, -2.0)
    with pytest.raises(DataError, match="can't support"):
        after_wake.choose(wakes, peaks, ["yes", "no"])


def test_what_was_chosen_goes_into_the_card(model):
    chosen = after_wake.choose(*scored(np.random.default_rng(1), 300, -2.0), ["yes", "no"])
    found = decode(encode(after_wake.with_after_wake(model.card, chosen)), where="x").after_wake

    assert {name: each.value for name, each in found.items()} == chosen.thresholds
    assert {each.after_wake for each in found.values()} == {chosen.wrong}


def test_wakes_are_made_of_people_s_recordings(recordings):
    """As many of each kind, in quiet and in noise; only commands are said."""
    commands = ["stop", "go"]
    found = list(wake_scenes.scenes("calibration", commands, window_s=5, per_word=1))

    assert len(found) == 2 * len(commands) * len(wake_scenes.KINDS)
    assert {(each.kind, each.noisy) for each in found} == {
        (kind, noisy) for kind in wake_scenes.KINDS for noisy in (False, True)
    }
    assert {each.said for each in found if each.kind == "command"} == set(commands)
    assert {each.said for each in found if each.kind != "command"} == {""}
    assert {each.wake for each in found} <= {"computer", "jarvis", "alexa"}


# -- measuring ------------------------------------------------------------------------------


def event(keyword, time_s, role="keyword"):
    at = round(time_s * RATE)
    return kws.Detection(keyword, 0.9, 0.5, at, at, at, RATE, -20.0, noise(0.01), 0, role)


@pytest.mark.parametrize(
    ("said", "words", "expected"),
    [
        ("yes", ["yes"], "heard"),
        ("yes", [], "missed"),
        ("yes", ["no"], "wrong"),
        ("yes", ["yes", "no"], "wrong"),
        ("yes", ["yes", "yes"], "wrong"),
        ("", [], "quiet"),
        ("", ["yes"], "wrong"),
    ],
)
def test_a_scene_is_heard_missed_or_wrong(said, words, expected):
    wake = Scene(noise(0.01), "command", "jarvis", 1.0, said=said)
    heard = [event("jarvis", 1.2, "wake"), *(event(name, 2.0) for name in words)]

    assert outcome(wake, heard) == expected
    assert outcome(wake, heard[1:]) == "asleep"
    assert outcome(wake, [event("jarvis", 3.0, "wake"), *heard[1:]]) == "asleep"


def test_scenes_are_heard_as_they_would_be_live(model):
    wakes = [made(tone("yes", 0.5), said="yes"), made(), made(tone("no", 0.5), said="no")]
    found = hear(model, wakes, wake=["jarvis"])

    assert [outcome(*each) for each in zip(wakes, found, strict=True)] == [
        "heard", "quiet", "heard"
    ]  # fmt: skip
    told = figures(wakes, ["heard", "quiet", "missed"])
    assert (told["heard"]["hits"], told["missed"]["hits"], told["wakes"]) == (1, 1, 3)
    assert told["missed_by_word"] == {"no": 1}
