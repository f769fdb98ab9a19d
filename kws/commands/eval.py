"""`kws eval`: how well a model hears, over clips and in streams; and streams to measure on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kws.errors import ConfigError
from kws.terminal import options

if TYPE_CHECKING:
    from kws.evaluate.hearing import Hearing
    from kws.terminal.outcome import Outcome


def eval(  # noqa: A001 - the command's name
    *,
    clips: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Clips in label folders, or Speech Commands' layout."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="validation, testing or training, by the official hash."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="labels, v2-12, v2-12-style or v2-35.")
    ] = None,
    simulate: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a stream of the clips, and its truth beside it."),
    ] = None,
    recipe: Annotated[str, typer.Option(metavar="NAME", help="standard or clean.")] = "standard",
    speech: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Speech without keywords, for `standard`.")
    ] = None,
    noise: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Noise: for `standard`, and for silence.")
    ] = None,
    rooms: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Impulse responses, for `standard`.")
    ] = None,
    snr: Annotated[float, typer.Option(metavar="DB", help="Words over background.")] = 10.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Another draw of the same recipe.")] = 1,
    stream: Annotated[
        Path | None, typer.Option(metavar="AUDIO", help="A recording whose words are known.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="T.json", help="Which words it holds, and where.")
    ] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Audio without keywords, file or folder; repeatable."),
    ] = None,
    target_fa: Annotated[
        float | None,
        typer.Option(metavar="N", help="Find thresholds for N false alarms an hour, together."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where they go, for --overrides."),
    ] = None,
    write_thresholds: Annotated[
        bool, typer.Option("--write-thresholds", help="Write them into the model's card.")
    ] = False,
    tensorflow: Annotated[
        bool, typer.Option("--tensorflow", help="The four numbers of TensorFlow's tool as well.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="All of it as one page, with plots.")
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Sounds of the worst errors in the page.")
    ] = True,
    plot: Annotated[
        Path | None, typer.Option(metavar="X.png", help="The DET curve, or the confusions.")
    ] = None,
    model: options.Models = None,
    keywords: options.Keywords = None,
    threshold: options.Threshold = None,
    sensitivity: options.Sensitivity = None,
    false_alarms: options.FalseAlarms = None,
    channel: options.Channel = None,
    gate: options.Gate = None,
    overrides: options.Overrides = None,
    verify: options.Verify = None,
    workers: options.Workers = 1,
    dask: options.Dask = None,
    resume: options.Resume = None,
    json: options.Json = False,
) -> None:
    """Measure a model: accuracy over clips, misses and false alarms in streams.

    --clips DIR alone is accuracy by the V2-12 rule, over clips of one word and about a second
    (`kws classify` looks for the word instead); with --simulate OUT it makes a stream to measure
    on; --stream with --truth and --negatives measures misses against false alarms.
    """
    if simulate is not None:
        _simulate(
            simulate, clips, json, recipe=recipe, split=split,
            speech=speech, noise=noise, rooms=rooms, seed=seed, snr_db=snr,
        )  # fmt: skip
        return
    asked = Asked(
        truth, negatives or [], target_fa, out, write=write_thresholds, tensorflow=tensorflow
    )
    asked.check(stream)
    if clips is None and stream is None:
        raise ConfigError("nothing to measure: give --clips DIR, or --stream AUDIO --truth T.json")
    _check(report, plot)
    from kws.evaluate import measurement
    from kws.terminal.outcome import Outcome

    said = options.read(
        model, keywords=keywords, threshold=threshold, sensitivity=sensitivity,
        false_alarms=false_alarms, wake=None, channel=channel, gate=gate, overrides=overrides,
        verify=verify,
    )  # fmt: skip
    hearing = said.hearing(workers, dask, resume)
    found = Outcome()
    if clips is not None:
        found.clips = measurement.of_clips(
            hearing, clips, split=split, protocol=protocol, noise=noise
        )
    if stream is not None:
        _stream(found, hearing, stream, asked)
    found.show(as_json=json)
    found.draw(report, plot, hearing if audio else None)


@dataclass(frozen=True)
class Asked:
    """What is wanted of a stream."""

    truth: Path | None
    negatives: list[Path]
    target_fa: float | None
    out: Path | None
    write: bool
    tensorflow: bool

    def check(self, stream: Path | None) -> None:
        """Raise ConfigError where the options contradict each other."""
        if stream is None and (self.truth or self.negatives or self.tensorflow or self.target_fa):
            raise ConfigError("which recording? give --stream AUDIO with --truth T.json")
        if stream is not None and self.truth is None:
            raise ConfigError(f"{stream}: which words does it hold? give --truth T.json")
        if self.target_fa is None and (self.out or self.write):
            raise ConfigError("thresholds for which rate? give --target-fa, as in --target-fa 1")
        if self.target_fa is not None and not self.negatives:
            raise ConfigError("--target-fa needs audio without keywords: --negatives AUDIO_OR_DIR")
        if self.target_fa is not None and not (self.out or self.write):
            raise ConfigError("say where thresholds go: --out FILE, or --write-thresholds")


def _check(*outputs: Path | None) -> None:
    """Raise ConfigError for what can't be written, before anything slow is begun."""
    from kws.evaluate.extras import need

    for output in outputs:
        if output is not None and not output.parent.is_dir():
            raise ConfigError(f"{output}: there is no folder {output.parent}")
    if any(outputs):
        need("matplotlib")


def _simulate(out: Path, clips: Path | None, as_json: bool, **recipe: Any) -> None:
    from kws.evaluate.simulation import simulate
    from kws.terminal.lines import print_json

    if clips is None:
        raise ConfigError("a stream of which clips? give --clips DIR")
    made = simulate.build(out, clips=clips, told=_say, **recipe)
    if as_json:
        print_json({"audio": str(out), "seconds": made.seconds, "words": len(made.words)})
    else:
        print(f"{out}: {made.seconds / 3600:.2f} h with {len(made.words)} words")
        print(f"{out.with_suffix('.json')}: where they are")


def _stream(found: Outcome, hearing: Hearing, stream: Path, asked: Asked) -> None:
    """Measure a stream; choose thresholds if that is asked for."""
    from kws.evaluate import measurement, tensorflow
    from kws.evaluate.streams import Streams
    from kws.evaluate.truthfile import read_truth

    truth_path = asked.truth or stream
    truth = None if asked.tensorflow and truth_path.suffix != ".json" else read_truth(truth_path)
    if truth is not None:
        measurement.check(truth, stream, hearing.settings.levels)  # before hours are scored
    measured, failed = measurement.recordings(hearing, stream, asked.negatives)
    for path, reason in failed.items():
        _say(f"{path}: {reason}")
    if truth is not None:
        streams = Streams(
            hearing.models, hearing.settings, measured[0], truth, measured[1:],
            verifier=hearing.verifier,
        )  # fmt: skip
        found.streams = streams.result(failed=failed)
        if asked.target_fa is not None:
            found.chosen = measurement.choose(streams, asked.target_fa)
            measurement.keep(
                found.chosen, hearing.models, asked.out,
                write=asked.write, verifier=hearing.verifier,
            )  # fmt: skip
    if asked.tensorflow:
        labels = hearing.models[0].labels
        said = tensorflow.read_words(truth_path, labels)
        found.tensorflow = str(tensorflow.figures(measured[0].tracks[0], labels, said))


def _say(line: str) -> None:
    print(f"kws: {line}", file=sys.stderr)
