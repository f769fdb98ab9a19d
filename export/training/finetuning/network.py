"""Network: the checkpoint that is learned from, with a head for the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from export import labels as words
from export import pretrained
from export.checkpoint import Checkpoint
from export.checkpoints import waveform
from export.frontends import kaldi
from export.training.finetuning import patches
from export.training.finetuning.windows import Features
from kws.errors import ExportError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EXTRACTORS = {
    patches.KIND: "ASTFeatureExtractor",
    "whisper": "WhisperFeatureExtractor",
    "wav2vec2-bert": "SeamlessM4TFeatureExtractor",
}
"""Of all other encoders it is that of wav2vec2."""
HEAD = ("classifier.", "projector.", "layer_weights")
"""How the parameters are called that a classifier has over its encoder."""
UNSAVED = ("masked_spec_embed",)
"""Parameters that many checkpoints lack: training makes use of them, nothing else."""
OTHERS = {
    "clap": "needs no training: `kws export --labels A,B` gives it labels",
    "": "names no model_type; only checkpoints of transformers are fine-tuned",
}


@dataclass(frozen=True)
class Source:
    """A checkpoint that can be fine-tuned; its weights are not read yet.

    kind: the class that classifies. bounds: samples that it can hear at least and at most.
    """

    checkpoint: Checkpoint
    kind: str
    extractor: Any
    bounds: tuple[int, int]

    def fit(self, window: int, labels: Sequence[str]) -> int:
        """Return what it hears for such a window, within its bounds; so does the export."""
        least, most = self.bounds
        whole = min(max(window, least), most)
        config = self.checkpoint.config
        if config["model_type"] == patches.KIND and words.window_s(labels) is None:
            return patches.filled(config, whole, most)
        return whole


@dataclass
class Network:
    """A network to be trained. order: its labels. fresh: whether its head has learned nothing."""

    model: PreTrainedModel
    extractor: Any
    order: list[str]
    fresh: bool
    notes: list[str] = field(default_factory=list)


def source(checkpoint: Checkpoint) -> Source:
    """Return what can be learned from. Raises ExportError: it does not hear, or lacks files."""
    transformers = pretrained.need()
    names = transformers.models.auto.modeling_auto
    kinds = names.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    meant = checkpoint.config.get("model_type", "")
    if meant not in kinds:
        why = OTHERS.get(meant, f"is a {meant}, which does not classify audio")
        raise ExportError(f"{checkpoint.path}: {why}; fine-tuning reads {', '.join(sorted(kinds))}")
    kind = EXTRACTORS.get(meant, waveform.EXTRACTOR)
    extractor = pretrained.extractor(checkpoint, kind)
    return Source(checkpoint, kinds[meant], extractor, _bounds(checkpoint, extractor))


def _bounds(checkpoint: Checkpoint, extractor: Any) -> tuple[int, int]:
    meant, rate = checkpoint.config["model_type"], int(extractor.sampling_rate)
    if meant == patches.KIND:
        return kaldi.samples(patches.SIDE), kaldi.samples(int(extractor.max_length))
    if meant == "whisper":
        return 1, int(extractor.n_samples)
    return rate // 4, round(waveform.MOST_S * rate)


def load(source: Source, labels: Sequence[str], window: int) -> Network:
    """Load the weights, with a head for the labels: the checkpoint's own if it has just these.

    Raises ExportError: weights are missing, malformed, or can't hear such a window.
    """
    model, told = _loaded(source, labels)
    names = dict(model.named_parameters())
    absent = {*told["missing_keys"]} & names.keys()
    # transformers 4 tells names, 5 tells sizes too
    unfit = {key if isinstance(key, str) else key[0] for key in told["mismatched_keys"]}
    if lost := sorted(n for n in absent | unfit if not n.startswith(HEAD) and not _unsaved(n)):
        raise ExportError(
            f"{source.checkpoint.path}: its encoder's weights lack {', '.join(lost[:3])}, or have "
            "them in another size; the checkpoint is incomplete"
        )
    if broken := next((n for n, value in names.items() if not value.isfinite().all()), None):
        if _unsaved(broken) or broken.startswith(HEAD):
            nn.init.normal_(names[broken].data, std=0.02)
        else:
            raise ExportError(f"{source.checkpoint.path}: {broken} holds NaN or infinity")
    headless = any(name.startswith("classifier.") for name in absent)
    before = _own(source.checkpoint)
    fresh = headless or set(before) != set(labels)
    if fresh:
        _renew(model)
    if window < source.bounds[1] / 2 or words.window_s(labels) is None:
        model = patches.shorten(model, source.extractor, window)
    if hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()  # as its authors do: it needs more audio than people have
    order = list(labels) if fresh else before
    network = Network(
        model, source.extractor, order, fresh, [_head(order, before, headless, fresh)]
    )
    _prepare(network, window)
    _try(source, network, window)
    return network


def _own(checkpoint: Checkpoint) -> list[str]:
    """Return the checkpoint's own labels in the order of its logits."""
    named = checkpoint.config.get("id2label")
    if not isinstance(named, dict) or not all(str(key).isdigit() for key in named):
        return []
    return [str(named[key]) for key in sorted(named, key=int)]


def _loaded(source: Source, labels: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    transformers, path = pretrained.need(), source.checkpoint.path
    if not source.checkpoint.weight_bytes():
        raise ExportError(f"{path}: has no weights; copy its model.safetensors there")
    before = _own(source.checkpoint)
    order = before if set(before) == set(labels) else list(labels)
    with pretrained.quiet():
        try:
            model, told = getattr(transformers, source.kind).from_pretrained(
                path,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # of the head; any other is refused
                id2label=dict(enumerate(order)),
                label2id={label: number for number, label in enumerate(order)},
                problem_type="single_label_classification",
            )
        except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
            raise ExportError(f"{path}: transformers can't load it: {_line(error)}") from None
    return model.float(), told


def _unsaved(name: str) -> bool:
    return name.endswith(UNSAVED)


def _renew(model: nn.Module) -> None:
    """Forget what the classifier knew of other labels; its projection may stay."""
    for module in model.get_submodule("classifier").modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


def _head(order: Sequence[str], before: Sequence[str], headless: bool, fresh: bool) -> str:
    if not fresh:
        return f"the checkpoint knows these {len(order)} labels: its head learns on"
    if headless:
        return f"the checkpoint has no classification head: a new one for {len(order)} labels"
    theirs = f"the checkpoint's {len(before)}" if before else "the checkpoint's, which has no names"
    return f"the labels differ from {theirs}: a new head for {len(order)} labels"


def _prepare(network: Network, window: int) -> None:
    """Let the network be trained on, and exported with, such a window."""
    config, extractor = network.model.config, network.extractor
    if type(extractor).__name__ == waveform.EXTRACTOR:
        extractor.max_length = window  # where `kws export` finds it
    if hasattr(config, "conv_stride") and hasattr(config, "mask_time_length"):
        needed = waveform.heard(config, 2 * config.mask_time_length)
        if window < needed:  # masking would leave nothing, or fail
            config.mask_time_prob = 0.0


def _try(source: Source, network: Network, window: int) -> None:
    """Raise ExportError where the network can't hear such a window."""
    silence = torch.zeros(window).numpy()
    try:
        with pretrained.quiet(), torch.no_grad():
            batch = Features(network.extractor)([{"audio": silence, "label": 0}] * 2)
            network.model.train(mode=False)
            logits = network.model(**batch).logits
    except Exception as error:  # noqa: BLE001 - whatever an odd configuration provokes
        raise ExportError(
            f"{source.checkpoint.path}: can't hear {window} samples: {_line(error)}"
        ) from None
    if logits.shape != (2, len(network.order)):
        raise ExportError(f"{source.checkpoint.path}: does not give one score to a label")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
