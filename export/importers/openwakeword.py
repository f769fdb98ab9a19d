"""openWakeWord: its heads, and others that hear Google's speech embedding, as one stream model.

Each head makes a score of the last 16 or more embeddings; all share mel front end and embedding.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

import kws
from export import speech_embedding, splicing
from export.importing import ImportedModel, ImportRequest, Say
from export.speech_embedding import FILES, HOP, RATE, Parts
from kws import card as cards
from kws import origin
from kws.card import Card
from kws.errors import ExportError
from kws.flow import Samples
from kws.foreign import Signature, identify, identify_bytes, is_head

SOURCES = "ONNX heads of openWakeWord, LiveKit and nanowakeword: HEAD.onnx[=label]"
OWN = frozenset(
    {
        "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e",  # alexa
        "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb",  # hey jarvis
        "c2a311e8fa1338de89c31b3b46dc4dffd4af2f9a8d6ddead48893c2d301b1f18",  # hey mycroft
        "5a9b3ed3be2910e35780e097905aa9f35a9c10038df47914cf2b3ec4d670f6ea",  # hey rhasspy
        "371e44535470a29248b3b8f1bbbbaf2525c86417fd8f75c67fcf02ae0b9626df",  # timer
        "8441da8e746899e8d969528d5bad5651cdd563079c05962788f77753041f60e7",  # weather
    }
)
"""SHA-256 of the heads that openWakeWord itself publishes."""
OWN_LICENCE, UNKNOWN = "CC-BY-NC-SA-4.0", "unknown"

THRESHOLD = 0.5
REFRACTORY_S = 2.0
"""As openWakeWord and its Wyoming server ship."""
GATE_MODE = 1
"""At 2 the gate missed some of the quietest words that these heads hear."""
HEARS_S = 10.0
"""What a head may hear at most."""


@dataclass(frozen=True)
class Head:
    """A head's file, read. columns: those of its scores that are taken, one for each label."""

    path: Path
    model: onnx.ModelProto
    embeddings: int
    labels: Sequence[str]
    columns: Sequence[int]
    sha256: str

    @property
    def licence(self) -> str | None:
        """The licence, where the file is known."""
        return OWN_LICENCE if self.sha256 in OWN else None


def read(request: ImportRequest, say: Say) -> ImportedModel:
    """Read heads, and the parts that they share. Raises ExportError."""
    heads = [read_head(path, labels) for path, labels in request.sources]
    names = [label for head in heads for label in head.labels]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ExportError(
            f"{', '.join(sorted(repeated))}: more than one head has this label; name them apart: "
            "HEAD.onnx=label"
        )
    parts = speech_embedding.find_parts(request.features, say)
    return ImportedModel(
        build(parts, heads),
        describe(heads, request),
        lambda audio: windowed_scores(parts, heads, audio),
        sum(path.stat().st_size for path in [*parts, *(head.path for head in heads)]),
    )


def read_head(path: Path, labels: Sequence[str] = ()) -> Head:
    """Read one head. labels: its outputs' names; none: from the file. Raises ExportError."""
    if not path.is_file():
        raise ExportError(f"{path}: no such file; give a head: HEAD.onnx or HEAD.onnx=label")
    content = path.read_bytes()
    if content[4:8] == b"TFL3":
        raise ExportError(f"{path}: {identify_bytes(path)}")
    model = splicing.read(path)
    found = Signature(
        {one.name: splicing.shape(one) for one in splicing.inputs(model)},
        {one.name: splicing.shape(one) for one in model.graph.output},
        {one.key: one.value for one in model.metadata_props},
    )
    if cards.KEY in found.metadata:
        raise ExportError(f"{path}: is a kws model already; `kws listen --model {path}` runs it")
    if not is_head(found):
        raise ExportError(f"{path}: {identify(found, str(path))}")
    embeddings, scores = found.first[1], _count_scores(found)
    if not isinstance(embeddings, int) or not 1 <= embeddings * HOP <= HEARS_S * RATE:
        raise ExportError(f"{path}: hears {embeddings} embeddings; 1 to 125 can be imported")
    if scores is None:
        raise ExportError(f"{path}: does not say how many scores it gives; export it with a shape")
    names = _names(path, labels, scores, next(iter(found.outputs)))
    sha256 = hashlib.sha256(content).hexdigest()
    return Head(path, model, embeddings, [*names.values()], [*names], sha256)


def _count_scores(found: Signature) -> int | None:
    if len(found.outputs) != 1:
        return None
    (axes,) = found.outputs.values()
    known = [axis for axis in axes[1:] if isinstance(axis, int)]
    return int(np.prod(known)) if known and len(known) == len(axes) - 1 else None


def _names(path: Path, labels: Sequence[str], scores: int, output: str) -> dict[int, str]:
    """Return labels by the column of their score. Raises ExportError."""
    if scores == 1 and len(labels) < 2:
        # Trainers add a version: alexa_v0.1.onnx.
        stem = re.sub(r"_v\d[\w.]*$", "", path.stem)
        return {0: labels[0] if labels else stem}
    if not labels and (told := _told(output)):
        return told
    if len(labels) in {scores, scores - 1}:
        # Where one is not named it is the first, which stands for none of the others.
        return dict(enumerate(labels, scores - len(labels)))
    raise ExportError(
        f"{path}: gives {scores} scores, {len(labels)} are named; name all, or all but the first: "
        f"{path}=A,B"
    )


def _told(output: str) -> dict[int, str]:
    """Return the labels that openWakeWord writes into an output's name, as JSON, by column."""
    try:
        found = json.loads(output)
        return {int(column): str(label) for column, label in found.items()}
    except (ValueError, AttributeError):
        return {}


def build(parts: Parts, heads: Sequence[Head]) -> onnx.ModelProto:
    """Return mel front end, embedding and heads as one stream graph. Raises ExportError."""
    paths = [*parts, *(head.path for head in heads)]
    models = [splicing.read(path) for path in parts] + [head.model for head in heads]
    mel, embedding, *models = splicing.at_one_opset(models, paths)
    graph = splicing.StreamGraph(HOP)
    most = max(head.embeddings for head in heads)
    embeddings = speech_embedding.add_embeddings(graph, mel, embedding, most)
    scores = []
    for index, (head, model) in enumerate(zip(heads, models, strict=True)):
        hears = graph.from_end(embeddings, f"embeddings.{index}", head.embeddings, axis=1)
        found = graph.reshape(graph.splice(model, f"head{index}/", hears), f"all.{index}", [1, -1])
        columns = graph.constant(np.array(head.columns, np.int64))
        scores.append(graph.add("Gather", [found, columns], f"scores.{index}", axis=1))
    every = graph.add("Concat", scores, "scores.every", axis=1)
    opset = mel.opset_import[0].version
    return graph.model(every, sum(len(head.labels) for head in heads), opset)


def windowed_scores(parts: Parts, heads: Sequence[Head], audio: Samples) -> Samples:
    """Return all scores at every hop of `audio` [samples], after silence, as openWakeWord's."""
    networks = speech_embedding.WindowedNetworks(parts, [head.path for head in heads])
    before = max(head.embeddings for head in heads) - 1
    embeddings = networks.embeddings(audio, before)
    return np.stack(
        [
            np.concatenate(
                [
                    networks.head(index, embeddings[end - head.embeddings : end])[[*head.columns]]
                    for index, head in enumerate(heads)
                ]
            )
            for end in range(before + 1, len(embeddings) + 1)
        ]
    )


def describe(heads: Sequence[Head], request: ImportRequest) -> Card:
    """Return the card, before anything was measured. Raises ExportError."""
    if request.gate not in {None, "webrtc", "none"}:
        raise ExportError(f"--gate {request.gate}: for these models there are webrtc and none")
    labels = [label for head in heads for label in head.labels]
    told = [f"{head.path.name} {head.sha256[:16]}" for head in heads]
    parts = [f"{name} {sha256[:16]}" for name, sha256 in FILES.items()]
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return Card(
        version=cards.VERSION,
        kind="stream",
        family="openwakeword",
        sample_rate=RATE,
        window=speech_embedding.window(max(head.embeddings for head in heads)),
        hop=HOP,
        labels=[cards.Label(label, "wake", phrase=label.replace("_", " ")) for label in labels],
        activation="sigmoid",
        producer=kws.__version__,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        name=", ".join(labels[:3]) + more,
        description=f"heads for Google's speech embedding; files and the begin of their SHA-256: "
        f"{', '.join([*told, *parts])}",
        thresholds={label: cards.Threshold(THRESHOLD) for label in labels},
        decision=cards.Decision(release_s=0.2, refractory_s=REFRACTORY_S),
        gate=cards.Gate("none")
        if request.gate == "none"
        else cards.Gate("webrtc", {"mode": GATE_MODE}, hangover_s=0.6),
        source=origin.Source(
            ", ".join(head.path.name for head in heads),
            _joint_hash(heads),
            f"onnx {onnx.__version__}",
        ),
        licence=_licence(heads, request.licence),
    )


def _licence(heads: Sequence[Head], told: str | None) -> str:
    """Return the licences of heads and embedding in a line. told: of heads that are not known."""
    licences = {head.path.name: head.licence or told or UNKNOWN for head in heads}
    groups = [
        f"{licence} ({', '.join(name for name, its in licences.items() if its == licence)})"
        for licence in dict.fromkeys(licences.values())
    ]
    return "; ".join([*groups, f"{speech_embedding.LICENCE} (speech embedding)"])


def _joint_hash(heads: Sequence[Head]) -> str:
    """Return the hash of one head, or of the list of hashes as `sha256sum` prints it."""
    if len(heads) == 1:
        return heads[0].sha256
    listed = "".join(f"{head.sha256}  {head.path.name}\n" for head in heads)
    return hashlib.sha256(listed.encode()).hexdigest()
