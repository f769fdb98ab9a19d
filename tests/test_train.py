"""`kws train`: what it asks of whom; the trainings themselves are tested in their own rooms."""

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
        (["words", "--from", "mine.onnx", "--batch", "8"], "--batch makes no sense with --from mi"),
        (["words", "--from", "mine.onnx"], "mine.onnx"),
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
