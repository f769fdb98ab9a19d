"""Plots: what is drawn is what was heard, at the size and in the kind that was asked for."""

import io
import math
import re
import sys

import models as tones
import numpy as np
import pytest
from audio_files import written
from command import kws, model, words
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from kws import Spotter
from kws.errors import AudioError, ConfigError
from kws.evaluate.drawing import plots
from kws.evaluate.drawing.canvas import DPI
from kws.evaluate.drawing.envelope import COLUMNS, Envelope, thinned
from kws.evaluate.drawing.excerpt import hear
from kws.evaluate.drawing.spotting import spotting
from kws.evaluate.match import Word
from kws.evaluate.results import Clips, Keyword, Label, Point, Step, Streams, rate, share
from kws.sources.file import AudioFile

__all__ = ["kws", "model", "words"]

KINDS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}


def point(wanted, missed, events, hours=2.0):
    """A point of operation; no `hours`: nothing is known of false alarms."""
    alarms = rate(events, hours) if hours else None
    keyword = Keyword(0.6, share(missed, 100), alarms, 0, 120.0, 300.0)
    figures = (share(missed, 100), alarms, 1, 2, 120.0, 300.0, {"yes": keyword})
    return Point(wanted, 0.0, *figures)


def streams(shipped=None, curve=((-1, 5, 9), (0, 10, 4), (1, 20, 1), (2, 30, 0), (3, 60, 0))):
    steps = [Step(step, share(missed, 100), rate(events, 2.0)) for step, missed, events in curve]
    points = [point(1.0, 15, 2)] if curve else []
    return Streams("tones", "a.wav", 1.0, 2.0, shipped or point(None, 10, 4), points, steps, [], [])


def clips(count, name="word{}"):
    """Clips of so many labels; each is once taken for the next one."""
    labels = {name.format(i): Label(0.9, 0.9, 0.9, 50) for i in range(count)}
    matrix = 49 * np.eye(count, dtype=int) + np.roll(np.eye(count, dtype=int), 1, 1)
    whole = share(49 * count, 50 * count)
    return Clips("tones", "labels", "corpus", whole, 0.9, labels, matrix.tolist())


def drawn(draw, *arguments, **options):
    """Return a picture's SVG, with its text as text."""
    buffer = io.BytesIO()
    draw(*arguments, buffer, kind="html", **options)
    return buffer.getvalue().decode()


# -- misses against false alarms, confusion --------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_suffix_says_which_kind_of_picture(tmp_path, kind):
    plots.det(streams(), tmp_path / f"det.{kind}")
    plots.confusion(clips(3), tmp_path / f"confusion.{kind}")

    for name in ("det", "confusion"):
        assert (tmp_path / f"{name}.{kind}").read_bytes().startswith(KINDS[kind])


def test_a_buffer_holds_a_png_of_the_size_that_is_told():
    buffer = io.BytesIO()
    plots.det(streams(), buffer)
    buffer.seek(0)

    wanted = (round(plots.HEIGHT * DPI), round(plots.WIDTH * DPI), 4)
    assert wanted == imread(buffer, "png").shape


def test_the_same_figures_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        plots.det(streams(), tmp_path / name)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_no_false_alarm_is_drawn_at_its_upper_bound():
    """Of the steps at which nothing fired, only the one that missed least says anything."""
    svg = drawn(plots.det, streams())

    assert svg.count("none in 2.0 h: under 1.8/h") == 1
    assert "60 %" not in svg


def test_points_are_named_and_equal_ones_together():
    svg = drawn(plots.det, streams(point(None, 15, 2)))

    assert "as shipped, asked for 1/h" in svg


@pytest.mark.parametrize("shipped", [point(None, 0, 0), point(None, 100, 40)])
def test_extreme_figures_can_be_drawn(shipped):
    assert "as shipped" in drawn(plots.det, streams(shipped, curve=()))


def test_without_keyword_free_audio_it_says_so():
    svg = drawn(plots.det, streams(point(None, 10, 0, hours=0), curve=()))

    assert "false alarms are not known" in svg


@pytest.mark.parametrize("count", [1, 3, 12, 36])
def test_a_confusion_shows_every_label_and_count(count):
    svg = drawn(plots.confusion, clips(count))

    assert all(svg.count(f">word{i}<") == 2 for i in range(count))
    assert svg.count(">49<") == (count if count > 1 else 0)


def test_a_label_without_clips_leaves_its_row_empty():
    found = clips(2)
    found.confusion[1] = [0, 0]

    assert drawn(plots.confusion, found).count(">49<") == 1


def test_names_are_drawn_as_they_are():
    """No name is a formula or an element; one that the font lacks is no warning."""
    svg = drawn(plots.confusion, clips(3, "$x_{}$ <b>&\n日本"))

    assert "$x_0$ &lt;b&gt;&amp; 日本" in svg
    plots.confusion(clips(3, "日本{}"), io.BytesIO())


def test_pictures_that_cant_be_written_are_an_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"x\.gif: the name must end in \.png, \.svg or \.pdf"):
        plots.det(streams(), tmp_path / "x.gif")
    with pytest.raises(ConfigError, match=r"x\.png: can't be written"):
        plots.det(streams(), tmp_path / "missing" / "x.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"matplotlib is missing; run: .*\[eval\]"):
        plots.det(streams(), tmp_path / "x.png")


# -- what is left of long lines --------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 9_000), min_size=1, max_size=8), st.integers(0, 3_000), st.booleans()
)
def test_an_envelope_holds_every_low_and_high(sizes, first, ends):
    """However the audio is cut, each column is the lowest and highest of its samples."""
    total = sum(sizes)
    samples = np.random.default_rng(total).normal(size=total).astype(np.float32)
    end = min(total, first + 5_000) if ends else total
    envelope, at = (Envelope(first, end) if ends else Envelope(first)), 0
    for size in sizes:
        envelope.add(at, samples[at : at + size])
        at += size

    wanted = samples[first:end]
    for most in (COLUMNS, 7):
        step, low, high = envelope.columns(most)
        columns = [wanted[i : i + step] for i in range(0, len(wanted), step)]
        assert len(columns) <= 2 * most
        assert [column.min() for column in columns] == low.tolist()
        assert [column.max() for column in columns] == high.tolist()


def test_thinning_keeps_peaks_and_gaps():
    x = np.arange(100_000) / 10
    y = np.random.default_rng(1).random(len(x)).astype(np.float32)
    y[[7, 50_000]] = np.nan
    few_x, few_y = thinned(x, y, 100)

    assert len(few_x) < 300
    assert (np.nanmax(y), np.nanmin(y)) == (np.nanmax(few_y), np.nanmin(few_y))
    assert np.isnan(few_y).sum() == 2
    assert (np.diff(few_x) > 0).all()
    assert {*zip(few_x, few_y.tolist(), strict=True)} & {*zip(x, y.tolist(), strict=True)}


# -- what was heard --------------------------------------------------------------------------


def test_the_score_shown_is_the_score_compared(models, words):
    """Hop by hop it is what the spotter has, and at a detection it is the detection's."""
    spotter = Spotter(models["stream"])
    [excerpt] = hear(spotter, words)
    again, wanted = Spotter(models["stream"]), []
    for block in AudioFile(words, block_s=tones.HOP / tones.RATE):
        again.process(block)
        wanted.append(again.scores["yes"])

    score, ends = excerpt.score("yes"), excerpt.ends_s
    heard = score[np.isfinite(score)]
    assert wanted == heard[: len(wanted)].tolist()
    assert ["yes", "no", "yes"] == [shot.keyword for shot in excerpt.fired]
    for shot in excerpt.fired:
        assert [shot.score] == excerpt.score(shot.keyword)[ends == shot.at_s].tolist()
        assert shot.threshold == excerpt.thresholds[shot.keyword]


def test_an_excerpt_is_a_part_of_the_whole(models, words):
    """It is heard from the start on: the scores are those of the whole."""
    spotter = Spotter(models["stream"])
    [whole] = hear(spotter, words)
    part, late = hear(spotter, words, [(2.5, 3.5), (4.0, math.inf)])

    inside = np.isin(whole.ends_s, part.ends_s) & np.isfinite(whole.score("no"))
    assert whole.score("no")[inside].tolist() == part.score("no").tolist()
    assert (2.0, 4.0) == pytest.approx((part.ends_s[0], part.ends_s[-1]), abs=0.05)
    assert (tones.RATE, 2.5 * tones.RATE) == (part.wave.count * part.wave.step, part.wave.first)
    assert ["no"] == [s.keyword for s in part.fired if part.within(s.start_s, s.end_s)]
    assert late.end_s == whole.end_s >= 6.0
    with pytest.raises(AudioError, match=r"lasts 6\.00 s, the excerpt begins at 9 s"):
        hear(spotter, words, [(9.0, 10.0)])


def test_a_closed_gate_has_no_score(models, tmp_path):
    path = written(tmp_path, "quiet.wav", tones.noise(3.0, amplitude=1e-4), tones.RATE)
    [closed] = hear(Spotter(models["stream"], gate="webrtc"), path)
    [opened] = hear(Spotter(models["stream"], gate="none"), path)

    assert ([], 0) == (closed.open, len(closed.ends_s))
    assert [(0.0, 3.0)] == [(round(began), round(end)) for began, _, end in opened.open]
    assert "The gate was closed throughout" in drawn(spotting, closed)


def test_the_channel_that_is_heard_is_drawn(models, tmp_path):
    both = np.stack([tones.noise(1.0), tones.tone("yes", 1.0)], axis=1)
    path = written(tmp_path, "both.wav", both, tones.RATE)
    peaks = []
    for channel in (1, 2):
        spotter = Spotter(models["stream"], channel=channel)
        [excerpt] = hear(spotter, path, channel=channel)
        peaks.append(float(excerpt.wave.columns(100)[2].max()))

    assert peaks[0] < 0.01
    assert peaks[1] == pytest.approx(0.3, abs=1e-3)


def test_words_that_were_said_are_drawn_with_their_fate(models, words):
    """A miss shows how high it rose; an event without a word has its cross."""
    [excerpt] = hear(Spotter(models["stream"]), words)
    said = [Word("yes", 0.7, 1.0), Word("jarvis", 2.7, 3.0), Word("other", 3.2, 3.4)]
    svg = drawn(spotting, excerpt, said=said)

    peak = np.nanmax(excerpt.score("jarvis"))
    assert f">{peak:.3f}<" in svg
    assert svg.count(">jarvis<") == 2
    assert ">other<" in svg
    # Its lines are drawn from the lowest up.
    note = " ".join(reversed(re.findall(r">([^<>\n]+)</text>", svg)))
    assert "Hollow bar: said, but missed." in note
    assert "Cross: fired, but nothing of that name was said." in note
    assert "Under 0.1 throughout: jarvis." in drawn(spotting, excerpt)


def test_a_very_short_recording_can_be_drawn(models, tmp_path):
    path = written(tmp_path, "short.wav", tones.noise(0.005), tones.RATE)
    [excerpt] = hear(Spotter(models["stream"]), path)

    assert "short.wav" in drawn(spotting, excerpt)


# -- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_plot_draws_a_recording(kws, model, words, tmp_path, kind):
    """It replaces what was there, and says what it drew."""
    picture = tmp_path / f"x.{kind}"
    picture.write_text("old")
    result = kws("plot", words, "-o", picture, "--model", model, "--from", "2", "--to", "4")

    assert result.code == 0, result.err
    assert f"{picture}: 2.00 to 4.00 s, 1 detections" in result.err
    assert picture.read_bytes().startswith(KINDS[kind])


def test_plot_shows_when_commands_counted(kws, model, tmp_path):
    said = [tones.noise(0.4), tones.tone("jarvis", 0.3), tones.noise(0.1), tones.tone("yes", 0.3)]
    heard = written(tmp_path, "one.wav", np.concatenate([*said, tones.noise(0.5)]), tones.RATE)
    picture = tmp_path / "x.svg"
    result = kws("plot", heard, "-o", picture, "--model", model, "--wake", "jarvis")

    assert "2 detections" in result.err
    assert picture.exists()


@pytest.mark.parametrize(
    "case",
    [
        (["missing.wav", "-o", "x.png"], "missing.wav: no such file"),
        (["words.wav", "-o", "x.gif"], "x.gif: the name must end in .png, .svg or .pdf"),
        (["words.wav", "-o", "x"], "x: the name must end in"),
        (["words.wav", "-o", "missing/x.png"], "missing/x.png: there is no folder missing"),
        (["words.wav", "-o", "x.png", "--from", "3", "--to", "3"], "0 <= from < to"),
        (["words.wav", "-o", "x.png", "--from", "-1"], "0 <= from < to"),
        (["words.wav", "-o", "x.png", "--to", "nan"], "0 <= from < to"),
        (["words.wav", "-o", "x.png", "--from", "7"], "lasts 6.00 s, the excerpt begins at 7 s"),
        (["words.wav", "-o", "x.png", "--truth", "no.json"], "no.json: can't be read"),
        (["words.wav"], "Missing option"),
    ],
)
def test_plot_tells_what_is_wrong_in_one_line(kws, model, words, monkeypatch, case):
    options, said = case
    monkeypatch.chdir(words.parent)
    result = kws("plot", *options, "--model", model)

    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert said in result.err
    assert not (words.parent / "x.png").exists()
