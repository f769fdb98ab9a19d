"""Trained weights: what is taught is what the exported file hears, and losses are counted."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

pytest.importorskip("transformers")

from benchmarks import pupils, teaching, trained
from benchmarks.checkpoints import COMMANDS
from benchmarks.teaching import Words

SECOND = 16_000


@pytest.fixture(scope="module", params=list(pupils.PUPILS))
def pupil(request):
    torch.manual_seed(1)
    made = pupils.PUPILS[request.param]()
    made.network.eval()
    return made


@pytest.mark.parametrize("samples", [SECOND, 12_345])
@torch.no_grad()
def test_a_pupil_is_taught_what_its_front_end_will_hear(pupil, samples):
    """From stored energies or from audio, of any length: the same logits."""
    audio = 0.1 * torch.randn(2, samples)
    stored = pupil.energies(pad(audio, (0, SECOND - samples)))[..., : pupil.frames(samples)]
    heard = pupil.network(pupil.front(audio))
    expected = getattr(heard, "logits", heard)
    torch.testing.assert_close(pupil.logits(stored), expected, atol=1e-5, rtol=1e-5)


def some_words(count=40):
    frames = torch.arange(count) % 4 + 20
    return Words(torch.randn(count, 8, 24).half(), frames, torch.arange(count) % len(COMMANDS))


def test_a_batch_holds_no_frame_that_lies_behind_a_clip(monkeypatch):
    monkeypatch.setattr(teaching, "BATCH", 10)
    words = some_words()
    batches = list(words.batches(torch.Generator().manual_seed(1)))
    assert [energies.shape[2] for energies, _ in batches].count(20) == 1
    assert sorted(label for _, labels in batches for label in labels.tolist()) == sorted(
        words.labels.tolist()
    )


def test_variations_are_numbers_and_come_again():
    energies, noises = some_words().energies.float(), torch.randn(5, 8, 30).half()
    made, again = (
        teaching.varied(energies, noises, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert made.isfinite().all()
    assert torch.equal(made, again)


class Tiny(pupils.Pupil):
    """A network of one matrix."""

    epochs, peak, masks = 2, 0.01, 0

    def __init__(self):
        torch.manual_seed(1)
        self.network = torch.nn.Linear(8, len(COMMANDS))

    def energies(self, audio):
        raise NotImplementedError

    def frames(self, samples):
        raise NotImplementedError

    def logits(self, energies):
        return self.network(energies.mean(2))

    def save(self, folder):
        raise NotImplementedError


def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    torch.manual_seed(1)
    words = some_words()
    monkeypatch.setattr(teaching, "words", lambda pupil, split: words)
    monkeypatch.setattr(teaching, "noise", lambda pupil: words.energies)
    whole = Tiny()
    figures = teaching.Lessons(whole, tmp_path / "whole.pt").run()
    keep = teaching.Lessons._keep
    cut = Tiny()
    with monkeypatch.context() as patch:

        def keep_and_die(self, *arguments):
            keep(self, *arguments)
            raise KeyboardInterrupt

        patch.setattr(teaching.Lessons, "_keep", keep_and_die)
        with pytest.raises(KeyboardInterrupt):
            teaching.Lessons(cut, tmp_path / "cut.pt").run()
    again = Tiny()
    assert teaching.Lessons(again, tmp_path / "cut.pt").run()["history"] == figures["history"]
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, again.network.state_dict()[name])


def test_a_loss_is_counted_clip_by_clip():
    truth = np.array([0, 0, 1, 1])
    found = trained.against(np.array([0, 0, 1, 0]), np.array([0, 2, 1, 1]), truth)
    assert (found["became_wrong"], found["became_right"], found["lost_points"]) == (1, 1, 0.0)
    assert found["named_differently"] == 2
    assert found["labels"] == {COMMANDS[0]: [2, 2, 1], COMMANDS[1]: [2, 1, 2]}
    assert found["low"] == -found["high"] < 0
