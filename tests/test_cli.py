"""The command line: what it prints, and its one line for whatever is wrong."""

import csv
import json
import re
import subprocess
import sys

import models
import numpy as np
import onnx
import pytest
from audio_files import BAD, written
from command import keywords, kws, model, words

from kws import __version__
from kws import card as cards
from kws.card import Label, Rate, Threshold
from kws.sources import devices
from kws.sources.demo import RECORDING

__all__ = ["kws", "model", "words"]


def test_spot_prints_a_json_line_a_detection(kws, model, words):
    """With --json or without; the word lies where it was said."""
    result = kws("spot", words, "--model", model)

    assert (result.code, result.err) == (0, "")
    assert keywords(result) == ["yes", "no", "yes"]
    first = json.loads(result.out.splitlines()[0])
    assert (first["type"], first["audio"]) == ("detection", str(words))
    assert 0.6 <= first["start_s"] < first["end_s"] <= first["time_s"] + 0.05 < 1.3
    assert kws("spot", words, "--model", model, "--json").out == result.out


def test_spot_hears_the_demo_from_anywhere(kws, tmp_path, monkeypatch):
    """Each line prints the demo's path, which the other commands take."""
    monkeypatch.chdir(tmp_path)
    result = kws("spot", "--demo", "--keywords", "computer,stop")

    assert (result.code, keywords(result)) == (0, ["computer", "stop"])
    assert {json.loads(line)["audio"] for line in result.out.splitlines()} == {str(RECORDING)}


def test_the_version_is_printed(kws):
    """As other programs print theirs; nothing else is done."""
    result = kws("--version")

    assert (result.code, result.out, result.err) == (0, f"kws {__version__}\n", "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--keywords", "no"], ["no"]),
        (["--keywords", "yes, no"], ["yes", "no", "yes"]),
        (["--threshold", "yes=1"], ["no"]),
        (["--threshold", "1"], []),
        (["--threshold", "yes=0.9,no=0.2"], ["yes", "no", "yes"]),
        (["--sensitivity", "yes=100"], ["yes", "no", "yes"]),
        (["--sensitivity", "0", "--threshold", "no=1"], ["yes", "yes"]),
        (["--threshold", "1", "--sensitivity", "no=50"], ["no"]),
        (["--wake", "jarvis"], []),
        (["--channel", "1", "--gate", "none"], ["yes", "no", "yes"]),
    ],
)
def test_options_say_what_is_spotted(kws, model, words, options, expected):
    """Each as in Python, in one word of the command line."""
    assert keywords(kws("spot", words, "--model", model, *options)) == expected


def test_a_file_can_override_thresholds(kws, model, words, tmp_path):
    """What `kws tune` writes, without touching the model."""
    path = tmp_path / "tuned.json"
    path.write_text('{"thresholds": {"yes": 1.0}}')

    assert keywords(kws("spot", words, "--model", model, "--overrides", path)) == ["no"]


@pytest.fixture
def spelt(tmp_path):
    """A model whose words are called as AudioSet calls its sounds."""
    labels = [
        Label("yes, a tone, low", "keyword"),
        Label("no=1, 000 Hz", "keyword"),
        Label("a tone", "keyword"),
        Label("_rest_"),
    ]
    thresholds = {label.name: Threshold(0.6) for label in labels[:3]}
    card = models.card(labels=labels, thresholds=thresholds)
    return models.write(tmp_path / "spelt.onnx", card)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--keywords", "yes, a tone, low"], ["yes", "yes"]),
        (["--keywords", "a tone,yes,a tone,low"], ["yes", "yes"]),
        (["--keywords", '"no=1, 000 Hz",a tone'], ["no=1"]),
        (["--keywords", "yes, a tone, low, no=1, 000 Hz"], ["yes", "no=1", "yes"]),
        (["--threshold", "yes, a tone, low=1"], ["no=1"]),
        (["--threshold", '"no=1, 000 Hz"=1,a tone=0.5'], ["yes", "yes"]),
        (["--threshold", 'yes, a tone, low=1,"no=1, 000 Hz"=1.0'], []),
        (["--wake", "yes, a tone, low", "--keywords", "a tone"], ["yes", "yes"]),
    ],
)
def test_names_may_hold_commas_and_equals_signs(kws, spelt, words, options, expected):
    """They are known by the model's labels; where that leaves a doubt, quotes tell."""
    found = keywords(kws("spot", words, "--model", spelt, *options))

    assert expected == [name.split(",")[0] for name in found]


@pytest.mark.filterwarnings("default")
def test_a_file_with_a_word_of_another_model_is_noticed(kws, model, words, tmp_path):
    """It is used as far as it goes: it may have been tuned for several models."""
    path = tmp_path / "tuned.json"
    path.write_text('{"thresholds": {"yes": 1.0, "noo": 0.1}, "sensitivity": {"yess": 60}}')
    result = kws("spot", words, "--model", model, "--overrides", path)

    assert [
        f"kws: {path}: unknown keyword 'noo' is ignored; did you mean no?",
        f"kws: {path}: unknown keyword 'yess' is ignored; did you mean yes?",
    ] == result.err.splitlines()
    assert ["no"] == keywords(result)


def test_a_warning_is_one_line():
    """As an error is; others look as ever."""
    code = (
        "import sys, warnings; from kws.cli import main; from kws.errors import KwsWarning;"
        "main(['--help']); warnings.warn('ours', KwsWarning); warnings.warn('another')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.startswith("kws: ours\n")
    assert "UserWarning: another" in done.stderr


def test_several_models_are_heard_at_once(kws, model, words, tmp_path):
    """Each keyword once, whichever model knows it."""
    other = models.write(tmp_path / "window.onnx", models.card("window"))

    assert keywords(kws("spot", words, "--model", model, "--model", other)) == ["yes", "no", "yes"]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (96_000, 2), (16_000, 8)])
def test_any_rate_and_number_of_channels_is_heard(kws, model, tmp_path, rate, channels):
    """What is no error: 8 kHz, 96 kHz, 8 channels."""
    time = np.arange(rate // 2) / rate
    samples = np.tile(0.3 * np.sin(2 * np.pi * models.TONES["yes"] * time), (channels, 1)).T
    path = written(tmp_path, samples=samples, rate=rate)

    assert keywords(kws("spot", path, "--model", model)) == ["yes"]


def test_scores_are_kept_for_later(kws, model, words, tmp_path):
    """Every hop of every recording, the same in both formats."""
    for name in ["s.csv", "s.npz"]:
        assert kws("spot", words, words, "--model", model, "--scores", tmp_path / name).code == 0
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    with np.load(tmp_path / "s.npz") as arrays:
        labels, scores, marks = (arrays[name] for name in ["labels", "scores", "marks"])

    assert labels.tolist() == ["yes", "no", "jarvis", "_rest_"]
    assert len(rows) == len(scores) == len(marks) >= 2 * 6 * models.RATE // models.HOP
    assert [int(row["end"]) for row in rows] == marks[:, 3].tolist()
    assert np.allclose([[float(row[label]) for label in labels] for row in rows], scores)


def test_one_bad_recording_does_not_hide_the_others(kws, model, words):
    """The rest is spotted; the exit code tells."""
    result = kws("spot", "missing.wav", words, "--model", model)

    assert (result.code, result.err) == (2, "kws: missing.wav: no such file\n")
    assert keywords(result) == ["yes", "no", "yes"]


def test_classify_tells_the_best_labels(kws, model, tmp_path):
    """In words, and as JSON in the shape of the transformers pipeline."""
    path = written(tmp_path, "no.wav", models.tone("no", 1.0), models.RATE)

    result = kws("classify", path, "--model", model, "--top", "2", "--json")

    line = json.loads(result.out)
    assert line["audio"] == str(path)
    assert [list(score) for score in line["scores"]] == [["label", "score"]] * 2
    assert line["scores"][0]["label"] == "no"
    assert re.match(r".*no\.wav: no [01]\.\d+  ", kws("classify", path, "--model", model).out)


def test_info_tells_the_card_in_words(kws, model):
    """And as JSON with --json."""
    result = kws("info", model)

    assert "keyword          yes, threshold 0.6" in result.out
    assert "wake word        jarvis" in result.out
    assert json.loads(kws("info", model, "--json").out)["window"] == models.WINDOW


def test_info_tells_what_of_a_sensitivity_was_measured(kws, tmp_path):
    """And the thresholds after a wake word, with what they were chosen by."""
    rate = cards.Rate(1.0, 3, 3.0, 0.2, 2.9)
    wrong = cards.WrongCommands(0.0075, 9, 1200, 0.004, 0.014)
    points = [
        cards.OperatingPoint(at, "keyword", {"yes": level}, rate)
        for at, level in ((0.5, 0.8), (1.0, 0.6), (4.0, 0.5))
    ]
    after = {"yes": cards.Threshold(0.4, after_wake=wrong), "no": cards.Threshold(0.45)}
    card = models.card(operating_points=points, after_wake=after)
    told = kws("info", models.write(tmp_path / "x.onnx", card)).out

    assert re.search("yes, threshold 0.6.*, sensitivity measured from 38 to 75\n", told)
    assert re.search("no, threshold 0.6\n", told)
    assert "after a wake word yes 0.4, no 0.45\n" in told
    assert "a wrong one follows 9 of 1200 wakes (95 %: 0.40% to 1.40%)" in told


def test_info_tells_shared_false_alarms_once(kws, tmp_path):
    """What ten words did together is not what each of them did."""
    both, own = Rate(1.37, 3, 2.2, 0.28, 4.01), Rate(0.5, 1, 2.0, 0.01, 2.8)
    levels = {
        "yes": Threshold(0.9, both),
        "no": Threshold(0.8, both),
        "jarvis": Threshold(0.7, own),
    }
    model = models.write(tmp_path / "rated.onnx", models.card(thresholds=levels))
    lines = kws("info", model).out.splitlines()

    assert ["keyword          yes, threshold 0.9", "keyword          no, threshold 0.8"] == [
        line for line in lines if line.startswith("keyword")
    ]
    assert [
        "false alarms     yes, no together: 1.37 FA/h (3 in 2.2 h, 95 %: 0.28 to 4.01)",
        "false alarms     jarvis: 0.50 FA/h (1 in 2.0 h, 95 %: 0.01 to 2.80)",
    ] == [line for line in lines if line.startswith("false alarms")]


def no_card(folder):
    path = models.write(folder / "x.onnx")
    graph = onnx.load(path)
    del graph.metadata_props[:]
    onnx.save(graph, path)
    return path


def wrong_card(folder):
    return models.write(folder / "x.onnx", models.card(), labels=7)


def no_model(folder):
    path = folder / "x.onnx"
    path.write_text("This is no model.")
    return path


WRONG = {
    "unknown keyword 'yess'; did you mean yes": ["spot", "x", "--keywords", "yess"],
    "lies outside 0..1": ["spot", "x", "--threshold", "1.5"],
    "no=-0.1 lies outside": ["spot", "x", "--threshold", "no=-0.1"],
    "threshold 'yes:1' is not understood": ["spot", "x", "--threshold", "yes:1"],
    "threshold 'yes=' is not understood": ["spot", "x", "--threshold", "yes="],
    "sensitivity yes=101.0 lies outside 0..100": ["spot", "x", "--sensitivity", "yes=101"],
    "sensitivity 'yes:1' is not understood; give 70": ["spot", "x", "--sensitivity", "yes:1"],
    "either --threshold or --sensitivity for no, not both": [
        "spot",
        "x",
        "--threshold",
        "yes=0.5,no=0.5",
        "--sensitivity",
        "no=60",
    ],
    "either --threshold or --sensitivity for all keywords": [
        "listen",
        "--threshold",
        "0.5",
        "--sensitivity",
        "60",
    ],
    "either one sensitivity for all or false alarms per hour": [
        "spot",
        "x",
        "--sensitivity",
        "60",
        "--false-alarms",
        "0.5",
    ],
    "unknown keyword 'maybe'": ["spot", "x", "--threshold", "maybe=0.5"],
    "'no' is a command, not a wake word; wake words: jarvis": ["spot", "x", "--wake", "no"],
    "unknown wake word 'jarvs'": ["spot", "x", "--wake", "jarvs"],
    "channel '0' is not understood": ["spot", "x", "--channel", "0"],
    "no operating point at 0.5": ["spot", "x", "--false-alarms", "0.5"],
    "there is no gate 'fence'": ["spot", "x", "--gate", "fence"],
    "must end in .csv or .npz": ["spot", "x", "--scores", "x.txt"],
    "there is no microphone|no input device is called": ["listen", "--device", "no such device"],
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_option_is_one_line(kws, model, monkeypatch, said):
    """What it is, what there is instead; exit code 2."""
    monkeypatch.setattr(devices, "devices", list)

    one_line(kws(*WRONG[said], "--model", model), said)


@pytest.mark.parametrize("said", BAD)
@pytest.mark.parametrize("command", ["spot", "classify"])
def test_a_bad_recording_is_one_line(kws, model, tmp_path, command, said):
    """Missing, a directory, empty, truncated, text, NaN, no samples: exit code 2."""
    one_line(kws(command, BAD[said](tmp_path), "--model", model), said)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "x.onnx", "no such file"),
        (lambda folder: folder, "is a directory"),
        (no_model, "is not a readable ONNX model"),
        (no_card, "has no model card"),
        (wrong_card, "gives 7 scores, the card names 4 labels"),
    ],
)
def test_a_bad_model_is_one_line(kws, tmp_path, make, said):
    """Missing, not ONNX, no card, another card: exit code 2."""
    one_line(kws("info", make(tmp_path)), said)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["spto"], "no command 'spto'; there are: classify, config"),
        (["spot"], "name a recording, a folder, or -"),
        (["spot", "x", "--nope"], "No such option"),
        (["spot", "x", "--model"], "requires an argument"),
        (["listen", "--false-alarms", "few"], "Invalid value for '--false-alarms'"),
        (["classify", "x", "--top", "0"], "Invalid value for '--top'"),
    ],
)
def test_wrong_usage_is_one_line(kws, args, said):
    """Plain text that says where help is; no box, no traceback; exit code 2."""
    one_line(kws(*args), said)


def one_line(result, said):
    assert result.code == 2, result.err
    assert result.out == ""
    assert re.fullmatch(rf"kws: [^\n]*(?:{said})[^\n]*\n", result.err), result.err


@pytest.mark.parametrize("command", ["", "spot", "listen", "classify", "devices", "info", "doctor"])
def test_help_is_plain_text(kws, command):
    """Without a box, on stdout."""
    result = kws(*command.split(), "--help")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: kws {command}".rstrip())
    assert result.out.isascii()
