"""Fine-tune: from labelled recordings and a checkpoint to a folder that `kws export` reads."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from export import pretrained, sources
from export.training.finetuning import corpus as corpora
from export.training.finetuning import network as networks
from export.training.finetuning import report as reports
from export.training.finetuning import silence, splits, windows
from export.training.finetuning.corpus import TEST, TRAIN, VALIDATION, Corpus
from export.training.finetuning.folder import Folder, full_disk
from export.training.finetuning.learn import Learner
from export.training.finetuning.network import Network, Source
from export.training.finetuning.options import Options
from export.training.finetuning.report import Report
from export.training.finetuning.windows import Recordings, Windows
from kws.errors import ConfigError
from kws.install_hint import missing_packages

Say = Callable[[str], None]
NEEDED = {"accelerate": "accelerate", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
"""Modules that only training needs, and their packages."""


def finetune(data: str, source: str, out: Path, options: Options, say: Say) -> Report:
    """Teach the checkpoint `source` the labels of `data`; leave it, with a report, in `out`.

    Run again with the same `out`, it goes on where it was killed. say: hears what is going on, a
    line at a time. Raises DataError: the recordings can't be used, or the disk is full;
    ExportError: the checkpoint can't be; ConfigError: an option makes no sense, or `out` holds
    another run.
    """
    if missing := [package for name, package in NEEDED.items() if find_spec(name) is None]:
        raise ConfigError(missing_packages(missing, "train"))
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads or before)
    try:
        return _finetune(data, source, out, options, say)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on with what was saved in {out}")
        raise
    finally:
        torch.set_num_threads(before)


def _finetune(data: str, source: str, out: Path, options: Options, say: Say) -> Report:
    learned_from = networks.source(sources.locate(source, say))
    corpus = silence.add(splits.complete(corpora.find(data, options, say)), options.seed)
    for note in corpus.notes:
        say(note)
    sizes = ", ".join(f"{split} {len(clips)}" for split, clips in corpus.splits.items())
    say(f"{corpus.name}: {len(corpus.labels)} labels; {sizes} recordings")
    folder = Folder(out, _settings(corpus, learned_from, options))
    folder.begin(learned_from.checkpoint.weight_bytes())
    if folder.finished:
        say(f"{out}: this run has ended already; nothing is done again")
        return reports.read(out)
    return _Run(learned_from, corpus, folder, options, say).report()


def _settings(corpus: Corpus, source: Source, options: Options) -> dict[str, Any]:
    """Return what a run depends on, by names for people."""
    names = hashlib.sha256()
    for split, clips in sorted(corpus.splits.items()):
        for clip in clips:
            names.update(f"{split}\t{clip.label}\t{Path(clip.name).name}\n".encode())
    return {
        "data": f"{corpus.name} {names.hexdigest()[:12]}",
        "checkpoint": f"{source.checkpoint.name} {source.checkpoint.sha256()[:12]}",
        **options.fingerprint(),
    }


class _Run:
    """One run, from recordings that were found to a folder that is left."""

    def __init__(
        self, source: Source, corpus: Corpus, folder: Folder, options: Options, say: Say
    ) -> None:
        self._begun = time.monotonic()
        self._source, self._corpus, self._folder = source, corpus, folder
        self._options, self._say = options, say
        self._rate = int(source.extractor.sampling_rate)

    def report(self) -> Report:
        """Train, or go on; measure; leave the folder as `kws export` reads it."""
        clips = self._corpus.splits
        heard = {split: Recordings(found, self._rate) for split, found in clips.items()}
        lengths = {split: found.survey(self._say) for split, found in heard.items()}
        window = self._window(lengths[TRAIN])
        torch.manual_seed(self._options.seed)
        network = networks.load(self._source, self._corpus.labels, window)
        for note in network.notes:
            self._say(note)
        order, seed = network.order, self._options.seed
        training = Windows(heard[TRAIN], order, window, seed)
        validation = Windows(heard[VALIDATION], order, window)
        learner = Learner(
            network, training, validation, self._folder, options=self._options, say=self._say
        )
        epochs = learner.learn()
        split = TEST if TEST in heard else VALIDATION
        self._say(f"measuring on the {split} split")
        taken = learner.hear(Windows(heard[split], order, window))
        report = self._told(network, split, [order[number] for number in taken], window, epochs)
        self._leave(network, report)
        return report

    def _window(self, lengths: list[int]) -> int:
        """Return the window in samples, and tell it. Raises ConfigError: it can't be heard."""
        rate, asked = self._rate, self._options.window_s
        wanted = windows.choose(lengths, self._corpus.labels, rate, asked)
        least, most = self._source.bounds
        window = self._source.fit(wanted, self._corpus.labels)
        if asked is not None and not least <= wanted <= most:
            raise ConfigError(
                f"--window-s {asked:g}: {self._source.checkpoint.name} hears {least / rate:.2f} to "
                f"{most / rate:.2f} s"
            )
        longer = sum(length > 1.02 * window for length in lengths)
        more = f"; {longer} of {len(lengths)} recordings are longer and cut" if longer else ""
        self._say(f"the network hears {window / rate:.2f} s at a time{more}")
        return window

    def _told(
        self, network: Network, split: str, heard: list[str], window: int, epochs: int
    ) -> Report:
        corpus = self._corpus
        return Report(
            source=self._source.checkpoint.name,
            data=corpus.name,
            split=split,
            clips=reports.figures(
                self._folder.out.resolve().name,
                f"{corpus.name}, {split}",
                [clip.label for clip in corpus.splits[split]],
                heard,
            ),
            recordings=corpus.counts(),
            window_s=round(window / self._rate, 3),
            epochs=epochs,
            seconds=round(time.monotonic() - self._begun, 1),
            notes=[*corpus.notes, *network.notes],
        )

    def _leave(self, network: Network, report: Report) -> None:
        """Save network, extractor and report; they are there together, or not at all."""
        final = self._folder.final
        shutil.rmtree(final, ignore_errors=True)
        with pretrained.quiet(), full_disk(self._folder.out):
            network.model.save_pretrained(final)
            network.extractor.save_pretrained(final)
            reports.save(report, final)
        self._folder.finish()
