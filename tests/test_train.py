"""`kws train`: what it asks of whom; the trainings themselves are tested in their own rooms."""

from pathlib import Path

import pytest

from kws.cli import main
from kws.commands import train


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["words", "--label-column", "x"], "--label-column makes no sense with --from bundled"),
        (["words", "--from", "other", "--phrase", "hey"], "--phrase makes no sense with a chec"),
        (["words", "--from", "other", "--speech", "talk"], "--speech makes no sense with a chec"),
        (["words", "--from", "other", "--synthesise"], "--synthesise makes no sense with a chec"),
        (["words", "--from", "other", "--false-alarms", "1"], "--false-alarms makes no sense"),
        (["words", "--rate", "1e-3"], "--rate makes no sense with --from bundled"),
        (["words", "--epochs", "3"], "--epochs makes no sense with --from bundled"),
        (["words", "--from", "mine.onnx"], "--from mine.onnx: own words begin anew; leave --from"),
        (["words", "--from", "other", "--say", "a=b"], "--say makes no sense with a checkpoint"),
        (["--phrase", "hey", "--say", "hey"], "--say hey: say it as TEXT=PHONEMES"),
        (["--phrase", "computer"], "computer: the bundled model knows this word already"),
        (["words", "--from", "other", "--rate", "0"], "rate 0.0: must be more than 0"),
        (["--from", "other"], "name the recordings to learn from"),
        ([], "no words; give <word>/*.wav, or --phrase"),
        (["nowhere"], "nowhere"),
        (["nowhere", "--from", "other"], "other"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, wanted, tmp_path, monkeypatch, capsys):
    """Exit code 2, what is wrong, nothing left behind."""
    monkeypatch.chdir(tmp_path)

    assert 2 == main(["train", *arguments, "-o", "out"])
    told = capsys.readouterr().err
    assert wanted in told
    assert 1 == len(told.splitlines())


def test_without_torch_the_user_learns_what_to_install(tmp_path, monkeypatch, capsys):
    """One line, before anything is imported."""
    monkeypatch.setattr(train, "NEEDED", ("torch", "no_such_package"))

    assert 2 == main(["train", "words", "-o", str(tmp_path / "out")])
    assert "no_such_package is missing; run: " in (told := capsys.readouterr().err)
    assert "[train]" in told


@pytest.mark.parametrize(
    ("folders", "phrases", "out", "wanted"),
    [
        ([], ["Hey Marvin"], None, "hey_marvin.onnx"),
        (["_unknown_", "zorblax"], [], None, "zorblax.onnx"),
        (["zorblax"], [], "mine", "mine.onnx"),
        (["zorblax"], [], "a.b", "a.b.onnx"),
        (["zorblax"], [], "models/mine.onnx", "models/mine.onnx"),
    ],
)
def test_the_model_file_is_named_after_the_word(folders, phrases, out, wanted, tmp_path):
    """If nobody says how; its suffix is always .onnx."""
    for name in folders:
        (tmp_path / name).mkdir()

    found = train._target(str(tmp_path), None if out is None else Path(out), phrases)

    assert Path(wanted) == found
