"""Hyperparams: SpeechBrain's settings are read as data, and nothing in them is run."""

import time

import pytest

from export.speechbrain.hyperparams import Hyperparams
from export.speechbrain.safeyaml import Call
from kws.errors import ExportError

FBANK = {"speechbrain.lobes.features.Fbank": {"deltas": False, "n_mels": 40, "rate": ...}}


@pytest.fixture
def settings(tmp_path):
    """Write a text as hyperparams.yaml and return it, opened."""

    def write(text):
        path = tmp_path / "hyperparams.yaml"
        path.write_text(text, encoding="utf-8")
        return Hyperparams(path)

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!ref <mels>", 24),
        ("!copy <mels>", 24),
        ("!ref <channels>", [512, 1500]),
        ("!ref <chained>", 24),
        ("!ref <inner[deep]>", 1e-5),
        ("!ref <folder>/seed_<mels>/<mels>", "results/seed_24/24"),
        ("!ref <folder>/a-b", "results/a-b"),
        ("!ref <mels> * 2 + 1", 49),
        ("!ref (<mels> + 1) // 2", 12),
        ("!ref <mels> / 16", 1.5),
        ("!ref <mels> % 7 - 3", 0),
        ("!ref <mels><mels>", 2424),
        ("!ref <model[size]>", 24),
        ("*anchored", [512, 1500]),
        ("1e-5", 1e-5),
        ("16_000", 16_000),
        ("12e3", 12_000.0),
        ("on", "on"),
        ("False", False),
        ("null", None),
    ],
)
def test_references_become_what_they_refer_to(settings, text, value):
    """A bare reference keeps its type, several make a text, numbers are worked out; as YAML 1.2."""
    told = settings(
        "mels: 24\nfolder: results\nchained: !ref <mels>\ninner: {deep: 1e-5}\n"
        "channels: &anchored [512, 1500]\n"
        f"model: !new:torch.nn.Linear\n    size: !ref <mels>\nasked: {text}\n"
    )

    assert value == told.value("asked")
    assert type(value) is type(told.value("asked"))


def test_tags_become_data(settings):
    """A constructor, a class, a call and Python's own tags are read with what they name."""
    told = settings(
        "a: !new:torch.nn.Linear\n    size: 3\nb: !name:torch.nn.ReLU\n"
        "c: !apply:torch.manual_seed [!ref <d>]\nd: 7\n"
        "e: !!python/object/apply:torch.manual_seed [1234]\nmodules: {a: !ref <a>}\n"
    )

    assert Call("new", "torch.nn.Linear", {"size": 3}) == told.value("modules", "a")
    assert Call("name", "torch.nn.ReLU", "") == told.value("b")
    assert Call("apply", "torch.manual_seed", [7]) == told.value("c")
    assert Call("object/apply", "torch.manual_seed", [1234]) == told.value("e")
    assert told.value("modules", "absent") is None


def test_missing_arguments_are_those_of_the_class(settings):
    """What a file doesn't say is the class's default, whether it names arguments or counts them."""
    for arguments in ("\n    rate: 8\n    n_mels: 40", " [false, 40, 8]"):
        told = settings(f"modules:\n  f: !new:speechbrain.lobes.features.Fbank{arguments}\n")

        expected = "speechbrain.lobes.features.Fbank", {"deltas": False, "n_mels": 40, "rate": 8}
        assert expected == told.part("f", FBANK)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("!new:speechbrain.lobes.models.CRDNN.CRDNN", "CRDNN.CRDNN is not known; known: speech"),
        ("!new:speechbrain.lobes.features.Fbank {rate: 8, mells: 3}", "no argument mells"),
        ("!new:speechbrain.lobes.features.Fbank", "lacks rate"),
        ("!apply:speechbrain.lobes.features.Fbank", "names no f made by !new:"),
        ("3", "names no f made by !new:"),
    ],
)
def test_an_unknown_part_is_refused_by_name(settings, part, message):
    """A target, an argument that can't be rebuilt is never guessed at."""
    with pytest.raises(ExportError, match=message):
        settings(f"modules:\n  f: {part}\n").part("f", FBANK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !ref <b>\nb: !ref <a>", "refers to itself"),
        ("a: {b: !ref <a>}", "refers to itself"),
        ("a: !ref <nowhere>", "<nowhere> is not in the file"),
        ("a: !ref <b>/c\nb: [1]", "<b> stands within a text"),
        ("a: !ref 1 / <b>\nb: 0", "a: .*division by zero"),
        ("a: !PLACEHOLDER", "holds !PLACEHOLDER"),
        ("a: !include:other.yaml", "holds !include:other.yaml"),
        ("a: 1\na: 2", "names a twice"),
        ("[1, 2]", "holds no mapping"),
        ("a: [1, 2", "can't be read: while parsing"),
        ("a: &a [*a]", "can't be read: .*recursive"),
        ("a: " + "[" * 20_000, "can't be read"),
        ("a: " + "9" * 5_000, "can't be read"),
        ("a: " + "x" * 300_000, "is larger than"),
        ("a: !ref " + "<b>" * 1000 + "\nb: abcdefgh", "grows beyond"),
        ("a: !ref <b>" + "+1" * 5_000 + "\nb: 1", "grows beyond"),
    ],
)
def test_malformed_settings_are_refused_in_a_line(settings, text, message):
    """Whatever a file holds, the error is one line that names the file."""
    with pytest.raises(ExportError, match=message) as refused:
        settings(text).value("a")

    assert "hyperparams.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_would_grow_without_end_takes_no_time(settings):
    """Nested references stay shared: they don't multiply."""
    lines = ["a0: [1, 2, 3]"]
    lines += [f"a{i}: [{', '.join([f'!ref <a{i - 1}>'] * 10)}]" for i in range(1, 60)]
    started = time.perf_counter()

    found = settings("\n".join(lines)).value("a59")

    assert found[0] is found[9]
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "line",
    [
        "!!python/object/apply:os.system ['touch {path}']",
        "!!python/object/new:os.system ['touch {path}']",
        "!!python/object/apply:subprocess.run [[touch, '{path}']]",
        "!!python/name:os.system ''",
        "!!python/module:os ''",
        "!new:os.system ['touch {path}']",
        "!apply:os.system ['touch {path}']",
        "!applyref:os.system ['touch {path}']",
        "!name:subprocess.Popen [[touch, '{path}']]",
        "!module:os",
    ],
)
def test_a_malicious_tag_runs_nothing(settings, tmp_path, line):
    """Code that a file asks to be run is refused by name, even where no model would use it."""
    made = tmp_path / "made"
    told = settings("a: 1\nunused: " + line.format(path=made) + "\n")

    with pytest.raises(ExportError, match=r"names (os|subprocess)\b.*nothing of it was run"):
        told.value("a")
    assert not made.exists()
