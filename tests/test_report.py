"""The report: one page that holds everything, needs nothing, and trusts no name."""

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

import models as tones
import msgspec
import numpy as np
import pytest
import soundfile
from audio_files import written

from kws import Spotter
from kws.errors import ConfigError
from kws.evaluate.report import sections
from kws.evaluate.report import write as report
from kws.evaluate.report.moments import around, sound, span
from kws.evaluate.results import (
    Clips,
    Keyword,
    Label,
    Point,
    Step,
    Streams,
    Wrong,
    rate,
    share,
)
from kws.terminal.figures import per_hour

EVIL = "</script><img src=x onerror=alert(1)>\"'&"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """What a page is made of. Raises AssertionError where elements are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.data = [], [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.data = data
        elif "style" not in self.open:
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        text = " ".join(" ".join(self.text).split())
        return text.replace("\N{NARROW NO-BREAK SPACE}", " ")


def point(wanted, step, missed, events):
    keywords = {
        name: Keyword(0.6, share(missed // 2, 50), rate(events // 2, 2.0), 0, 110.0, 305.0)
        for name in ("yes", EVIL)
    }
    figures = (share(missed, 100), rate(events, 2.0), 3, 7, 123.0, 345.0, keywords)
    return Point(wanted, step, *figures)


@pytest.fixture
def streams(tmp_path):
    """A stream with a miss and two false alarms, one of them in a file that is gone."""
    audio = np.concatenate([tones.noise(1.0), tones.tone("yes", 0.3), tones.noise(2.0)])
    path = str(written(tmp_path, "a&b.wav", audio, tones.RATE))
    return Streams(
        model="tones",
        audio=path,
        hours=0.5,
        negative_hours=2.0,
        shipped=point(None, 0.0, 20, 4),
        points=[point(0.5, 1.75, 40, 1), point(1.0, 0.75, 30, 0)],
        curve=[Step(s, share(10 * s, 100), rate(6 - s, 2.0)) for s in range(7)],
        missed=[Wrong(EVIL, path, 1.0, 1.3, 0.4321, 0.6)],
        false_alarms=[
            Wrong("yes", path, 1.0, 1.3, 0.9876, 0.6),
            Wrong("no", str(tmp_path / "gone.wav"), 65.0, 65.5, 0.7, 0.6),
        ],
        failed={f"{EVIL}.wav": f"cut off {EVIL}"},
    )


@pytest.fixture
def clips():
    labels = {"yes": Label(0.91, 0.82, 0.863, 50), EVIL: Label(0.8, 0.9, 0.847, 50)}
    return Clips("tones", "v2-12", "corpus", share(87, 100), 0.855, labels, [[46, 4], [9, 41]])


def written_page(folder, *results, **options):
    path = folder / "page.html"
    report.write(path, *results, command=f"kws eval {EVIL}", **options)
    return path.read_text("utf-8")


def test_the_page_holds_every_figure(tmp_path, streams, clips):
    """Headlines with intervals, points, keywords, labels, failures: each with its numbers."""
    page = Page(written_page(tmp_path, streams, clips))

    for told in (
        "20.0 % missed: 20 of 100 words (13.3 to 28.9 %)",
        "2.00 false alarms an hour: 4 in 2.0 h without a keyword (0.55 to 5.12)",
        "123 ms after a word's end it is known: half of them sooner; 95 % within 345 ms",
        "87.0 % 87 of 100 clips most probably what they are, whatever the thresholds (79.0 to ",
        "85.5 %",
        "for 0.5/h log-odds +1.75 40.0 % 30.9 to 49.8 %, 40 of 100 0.50",
        "under 1.84 none in 2.0 h 3 7 123 ms 345 ms",
        "yes 0.600 20.0 %",
        "+3.00 30.0 %",
        "score 0.432, threshold 0.600",
        "score 0.988, threshold 0.600",
        "yes 82.0 % 91.0 % 86.3 % 50",
        f"yes {EVIL} 4",
        f"{EVIL}.wav cut off {EVIL}",
        "30.0 min",
        "protocol v2-12",
    ):
        assert told in page.words


def test_machines_find_the_same_figures(tmp_path, streams, clips):
    page = Page(written_page(tmp_path, streams, clips))
    found = msgspec.json.decode(page.data)

    assert [{"type": "application/json", "id": "results"}] == page.of("script")
    assert msgspec.convert(found["streams"], Streams) == streams
    assert msgspec.convert(found["clips"], Clips) == clips
    assert found["command"] == f"kws eval {EVIL}"


def test_nothing_is_fetched_from_anywhere(tmp_path, streams, clips, models):
    """No address, nothing linked but parts of the page itself and sounds within it."""
    scenes = around(Spotter(models["stream"]), sections.worst(streams))
    text = written_page(tmp_path, streams, clips, scenes=scenes)
    without_sounds = re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)

    assert not re.search(r"https?:|//\w|@import|url\((?!#)", without_sounds)
    for _, attributes in Page(text).tags:
        for name in ("src", "href", "action", "data", "poster"):
            link = attributes.get(name)
            assert link is None or link.startswith(("#", "data:audio/flac;base64,"))


def test_names_from_outside_do_nothing(tmp_path, streams, clips):
    """Labels, files, reasons and the command are text, wherever they stand."""
    text = written_page(tmp_path, streams, clips)
    page = Page(text)

    assert not page.of("img")
    assert not [name for _, attributes in page.tags for name in attributes if name == "onerror"]
    assert text.count("</script>") == 1
    assert page.words.count(EVIL) >= 8


def test_the_worst_can_be_heard(tmp_path, streams):
    """Each sound is the recording's, a second before to a second after the moment."""
    page = Page(written_page(tmp_path, streams, None))
    sounds = page.of("audio")

    assert len(sounds) == 2
    assert f"{EVIL} at 0:01.0 in {streams.audio}" == sounds[0]["aria-label"]
    flac = base64.b64decode(sounds[1]["src"].removeprefix("data:audio/flac;base64,"))
    samples, rate_hz = soundfile.read(io.BytesIO(flac), dtype="float32")
    whole, _ = soundfile.read(streams.audio, dtype="float32")
    assert tones.RATE == rate_hz
    assert np.array_equal(whole[: round(2.3 * tones.RATE)], samples)
    assert "The recording could not be read for its sound." in page.words


def test_sounds_can_be_left_out(tmp_path, streams):
    text = written_page(tmp_path, streams, None, audio=False)

    assert not Page(text).of("audio")
    assert "base64" not in text
    assert "could not be read for its sound" not in text


def test_sounds_of_other_rates_are_small_and_mono(tmp_path):
    """What is heard of a 48 kHz stereo recording is what a model hears, near enough."""
    path = written(tmp_path, "x.wav", np.stack([tones.noise(3.0)] * 2, 1), 48_000)
    flac = sound(Wrong("yes", str(path), 0.2, 0.5, 0.5, 0.6))
    samples, rate_hz = soundfile.read(io.BytesIO(flac))

    assert ((0.0, 1.5), 16_000, 1) == (
        span(Wrong("yes", "", 0.2, 0.5, 0.5, 0.6)),
        rate_hz,
        samples.ndim,
    )
    assert len(samples) == pytest.approx(16_000, abs=2)  # the recording ends after a second


def test_scenes_are_drawn_and_unreadable_ones_left_out(tmp_path, streams, models):
    wrongs = sections.worst(streams)
    scenes = around(Spotter(models["stream"]), wrongs)
    page = Page(written_page(tmp_path, streams, None, scenes=scenes))

    assert set(wrongs[:2]) == set(scenes)
    assert page.words.count("What was heard") == 2


def test_it_can_be_read_without_eyes_and_with_keys(tmp_path, streams, clips, models):
    """Tables have captions and headers with scope, pictures labels; what scrolls takes keys."""
    scenes = around(Spotter(models["stream"]), sections.worst(streams))
    page = Page(written_page(tmp_path, streams, clips, scenes=scenes))

    assert len(page.of("table")) == len(page.of("caption")) > 5
    assert {"col", "row"} == {header["scope"] for header in page.of("th")}
    scrolling = [a for a in page.of("div") if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["aria-label"] and a["role"] for a in scrolling)
    images = [a for a in page.of("div") if a.get("role") == "img"]
    assert len(images) == len(page.of("svg"))
    assert all(a["aria-label"] for a in images)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert [{"lang": "en"}] == page.of("html")


@pytest.mark.parametrize("given", ["streams", "clips"])
def test_each_alone_makes_a_page(tmp_path, streams, clips, given):
    results = (streams, None) if given == "streams" else (None, clips)
    words = Page(written_page(tmp_path, *results)).words

    assert ("Keyword by keyword" in words, "taken for" in words) == (
        given == "streams",
        given == "clips",
    )


def test_what_is_not_known_is_said(tmp_path, streams):
    """No negatives, no clear words, nothing wrong: no figure is made up."""
    keyword = Keyword(0.6, share(0, 0), None, 0, None, None)
    bare = Point(None, 0.0, share(0, 10), None, 0, 0, None, None, {"yes": keyword})
    found = msgspec.structs.replace(
        streams, negative_hours=0.0, shipped=bare, points=[], curve=[], missed=[],
        false_alarms=[], failed={},
    )  # fmt: skip
    words = Page(written_page(tmp_path, found, None)).words

    for told in (
        "not known false alarms: there was no audio without keywords",
        "without keywords none",
        "yes 0.600 never said not known 0 not known not known",
        "Missed words, the worst first There were none.",
        "False alarms, the worst first There was no audio without keywords.",
    ):
        assert told in words


@pytest.mark.parametrize("events", [0, 2])
def test_seconds_tell_nothing_of_an_hour(tmp_path, streams, events):
    """Nor is `0 (under 6775 an hour)` told, on the page or in the table."""
    few = rate(events, 2 / 3600)
    short = msgspec.structs.replace(streams.shipped, false_alarms=few)
    found = msgspec.structs.replace(streams, shipped=short)
    words = unescape(Page(written_page(tmp_path, found, None)).words)

    assert f"false alarms: {events} in 2 s, too short to tell of hours" in words
    assert per_hour(few) == f"{events} in 2 seconds, too short to tell"


def test_no_false_alarm_proves_no_more_than_the_hours(tmp_path, streams):
    quiet = msgspec.structs.replace(streams, shipped=point(None, 0.0, 20, 0))
    words = unescape(Page(written_page(tmp_path, quiet, None)).words)

    assert "under 1.84 false alarms an hour: none in 2.0 h without a keyword" in words


def test_what_cant_be_written_is_an_error(tmp_path, clips):
    with pytest.raises(ConfigError, match=r"page\.html: there is nothing to report"):
        written_page(tmp_path, None, None)
    with pytest.raises(ConfigError, match=r"page\.html: can't be written"):
        written_page(tmp_path / "missing", None, clips)
