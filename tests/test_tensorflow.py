"""TensorFlow's streaming test: our counts are the tool's, worked out by hand from its source."""

import numpy as np
import pytest

from kws.errors import ConfigError, DataError
from kws.evaluate.match import Word
from kws.evaluate.protocols import SILENCE, UNKNOWN
from kws.evaluate.tensorflow import Figures, Settings, count, figures, fired, read_words
from kws.evaluate.tracks import Track
from kws.evaluate.truthfile import truth, write_truth

RATE = 1_000  # a sample is a millisecond
HOP = 10
LABELS = [SILENCE, UNKNOWN, "yes", "no"]
CERTAIN = {name: np.eye(len(LABELS))[place] for place, name in enumerate(LABELS)}


def track(*parts, hop=HOP, clip_ms=1000, samples=None):
    """A track whose windows, by where they begin, give labels (or scores) for so long: (ms, what).

    Window t reads the last hop that has ended at t + clip.
    """
    rows = [np.zeros((clip_ms // hop - 1, len(LABELS)))]
    for length, what in parts:
        row = CERTAIN[what] if isinstance(what, str) else np.asarray(what)
        rows.append(np.tile(row, (length // hop, 1)))
    values = np.concatenate(rows).astype(np.float32)
    return Track(values, hop, RATE, samples or len(values) * hop)


def test_a_word_fires_when_its_mean_passes_the_threshold():
    """By hand: windows every 30 ms; 17 lie in the 500 ms up to and with 1200, those from 720 on.

    `yes` begins at 900, silence before; at 1230 the mean is over 750..1230 (17), of which
    900..1230 (12) say yes: 0.7059. At 1200 it was 11 of 17: 0.647.
    """
    said = track((900, SILENCE), (1500, "yes"))

    assert [("yes", 1230)] == fired(said, LABELS)


def test_the_average_holds_the_window_exactly_as_long_as_itself():
    """A window 480 ms old is in the average of 480 ms, one 510 ms old is not."""
    said = track((900, SILENCE), (1500, "yes"))

    # 480: 17 windows as above, for the 18th is 510 old. 510: 18 windows, 12/18 at 1230, 13 at 1260.
    assert [("yes", 1230)] == fired(said, LABELS, Settings(average_ms=480))
    assert [("yes", 1260)] == fired(said, LABELS, Settings(average_ms=510))


def test_the_threshold_must_be_passed_not_met():
    """A mean of exactly 0.75, over four windows, does not fire at 0.75."""
    met = track((2000, [0.25, 0, 0.75, 0]))

    assert not fired(met, LABELS, Settings(average_ms=90, threshold=0.75))
    assert [("yes", 90)] == fired(met, LABELS, Settings(average_ms=90))


@pytest.mark.parametrize(("minimum", "at"), [(1, 150), (4, 150), (6, 150), (7, 180), (18, None)])
def test_few_windows_say_nothing(minimum, at):
    """Nothing before a quarter of the average has been heard (125 ms: at 150) and enough windows.

    More windows than the average ever holds (17) are never there.
    """
    found = fired(track((2000, "yes")), LABELS, Settings(minimum_count=minimum))

    assert ([("yes", at)] if at else []) == found


def test_the_same_word_needs_another_label_in_between():
    """A pause in which nothing passes the threshold is no other label: the second yes is lost."""
    pause = [0.4, 0.3, 0.3, 0.0]
    twice = track((1500, "yes"), (1500, pause), (1500, "yes"))
    between = track((1500, "yes"), (1500, SILENCE), (1500, "yes"))
    unknown = track((1500, "yes"), (1500, UNKNOWN), (1500, "yes"))

    assert ["yes"] == [label for label, _ in fired(twice, LABELS)]
    assert ["yes", "yes"] == [label for label, _ in fired(between, LABELS)]
    assert ["yes", UNKNOWN, "yes"] == [label for label, _ in fired(unknown, LABELS)]


def test_suppression_holds_after_a_word_but_not_after_silence():
    """By hand, with an average of 120 ms (5 windows; 4 of 5 pass 0.7).

    `yes` fires at 60 (three windows, more than 30 ms). `no` from 300: 4 of 5 at 390, but 330 ms
    after yes: not yet. The first window more than 500 ms after 60 is 570.
    With silence from 300, it fires (unheard) at 570 as well; then yes from 600: 4 of 5 at 690,
    120 ms after, and no wait.
    """
    settings = Settings(average_ms=120, minimum_count=3)

    assert [("yes", 60), ("no", 570)] == fired(track((300, "yes"), (900, "no")), LABELS, settings)
    quick = track((300, "yes"), (300, SILENCE), (900, "yes"))
    assert [("yes", 60), ("yes", 690)] == fired(quick, LABELS, settings)


def test_silence_comes_first_and_never_counts():
    """At the start the last command is silence: silence does not fire, and suppresses nothing."""
    assert not fired(track((3000, SILENCE)), LABELS)
    assert [("yes", 150)] == fired(track((2000, "yes")), LABELS)


def test_the_last_whole_window_is_not_heard():
    """Windows begin before `samples - clip`, not at it."""
    said = track((150, "yes"), (10, "yes"), samples=1150)
    one_more = track((150, "yes"), (10, "yes"), samples=1151)

    assert not fired(said, LABELS)
    assert [("yes", 150)] == fired(one_more, LABELS)
    assert not fired(track((10, "yes"), samples=500), LABELS)


def test_scores_are_those_of_the_last_hop_that_ended():
    """With hops of 400 ms, a window's score is the last that was known at its end."""
    values = np.stack([CERTAIN[SILENCE]] * 2 + [CERTAIN["yes"]] * 4).astype(np.float32)
    coarse = Track(values, 400, RATE, 2400)
    settings = Settings(average_ms=60, minimum_count=1)

    # Hop 2 ends at 1200: windows from 200 on, of which 210 is the first. 210 alone is 1 of 3.
    assert [("yes", 270)] == fired(coarse, LABELS, settings)
    # A clip shorter than a hop: the first hop stands for what is not known yet.
    early = Track(values[2:], 400, RATE, 1600)
    assert [("yes", 30)] == fired(early, LABELS, Settings(100, average_ms=60, minimum_count=1))


def test_counts_worked_out_by_hand():
    """Correct, wrong by label, wrong for a word that is taken, a false positive."""
    said = [("yes", 1000), ("no", 4000), (UNKNOWN, 8000), ("yes", 12_000)]
    events = [
        ("yes", 1100),  # correct
        ("no", 2500),  # as near to both: yes is the earlier, so wrong, and matched
        ("no", 5500),  # correct, at the edge
        ("no", 5501),  # 1,501 after: neither
        ("yes", 8100),  # wrong
        ("yes", 12_000),  # correct
    ]

    found = count(events, said, 1500)

    assert Figures(4, 5, 3, 2, 1) == found
    assert "125.0% matched, 75.0% correct, 50.0% wrong, 25.0% false positive" == str(found)


def test_a_repeat_on_a_taken_word_is_wrong_and_matched():
    """Two words, three events for the first: 150 % matched, as the tool has it."""
    said = [("yes", 1000), ("yes", 9000)]

    found = count([("yes", 900), ("yes", 1500), ("yes", 2400)], said, 1500)

    assert Figures(2, 3, 1, 2, 0) == found
    assert "150.0% matched, 50.0% correct, 100.0% wrong, 0.0% false positive" == str(found)


def test_an_event_never_reaches_past_an_earlier_word():
    """The second word's event falls on the first, though its own is free and nearer."""
    said = [("yes", 1000), ("no", 2000)]

    assert Figures(2, 1, 0, 1, 0) == count([("no", 2000)], said, 1500)
    assert Figures(2, 2, 1, 1, 0) == count([("yes", 1000), ("no", 2000)], said, 1500)
    assert Figures(2, 1, 1, 0, 0) == count([("no", 2600)], said, 1500)


def test_words_at_the_same_time_are_taken_together():
    """What is taken is known by its time alone."""
    assert Figures(2, 2, 1, 1, 0) == count(
        [("yes", 1000), ("yes", 1030)], [("yes", 1000), ("yes", 1000)], 1500
    )


def test_without_words_the_tool_says_so():
    """No shares of nothing."""
    assert "No ground truth yet, 1false positives" == str(count([("yes", 1)], [], 1500))


def test_the_text_of_the_tool(tmp_path):
    """Lines of word and milliseconds, rounded half to even, sorted; other lines are passed over."""
    path = tmp_path / "labels.txt"
    path.write_text("no, 2500.500000\nyes, 1000.500000\n\nyes,1,2\nup, 1001.5\n")

    assert [("yes", 1000), ("up", 1002), ("no", 2500)] == read_words(path, LABELS)

    path.write_text("yes, 1\nno, soon\n")
    with pytest.raises(DataError, match="line 2: 'soon' is no time"):
        read_words(path, LABELS)
    with pytest.raises(DataError, match="can't be read"):
        read_words(tmp_path / "missing.txt", LABELS)


def test_our_truth_is_read_too(tmp_path):
    """Times are where words start; a word without a label is unknown, where there is that."""
    path = tmp_path / "stream.json"
    write_truth(path, truth([Word("yes", 1.0004, 1.4), Word("cat", 3.0006, 3.5)], 5))

    assert [("yes", 1000), (UNKNOWN, 3001)] == read_words(path, LABELS)
    assert [("yes", 1000), ("cat", 3001)] == read_words(path, ["yes", "no"])
    assert UNKNOWN == read_words(path, ["yes", "unknown"])[1][0]


def test_a_whole_recording(tmp_path):
    """From track and text to the line that the tool prints."""
    heard = track((1200, SILENCE), (900, "yes"), (900, SILENCE), (900, "no"), (900, SILENCE))
    path = tmp_path / "labels.txt"
    path.write_text("yes, 1000.0\nyes, 3100.0\nno, 9000.0\n")

    found = figures(heard, LABELS, read_words(path, LABELS))

    assert Figures(3, 2, 1, 1, 0) == found
    assert "66.7% matched, 33.3% correct, 33.3% wrong, 0.0% false positive" == str(found)
    with pytest.raises(ConfigError, match="clip and stride"):
        figures(heard, LABELS, [], Settings(stride_ms=0))
