"""Family: encoders that hear the waveform (wav2vec 2.0 and its kin), with a head of labels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from export import pretrained
from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.frontends.waveform import Waveform
from export.labels import window_s
from kws.errors import ExportError

SOURCES = (
    "waveform encoders (wav2vec2, XLS-R, wav2vec2-conformer, HuBERT, DistilHuBERT, WavLM, "
    "data2vec-audio, UniSpeech, UniSpeech-SAT, SEW, SEW-D: ...ForSequenceClassification)"
)
HEAD = "ForSequenceClassification"
ENCODERS = frozenset([
    "Wav2Vec2", "Wav2Vec2Conformer", "Hubert", "WavLM", "Data2VecAudio", "UniSpeech",
    "UniSpeechSat", "SEW", "SEWD",
])  # fmt: skip
EXTRACTOR = "Wav2Vec2FeatureExtractor"
WINDOW_S = 3.0
"""Window where nothing tells a better one."""
MOST_S = 30.0
"""What one call hears at most: attention costs the square of the length."""


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names one of these encoders with a classification head."""
    name = checkpoint.architecture
    return name.endswith(HEAD) and name.removesuffix(HEAD) in ENCODERS


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read it by transformers. Raises ExportError."""
    extractor = prepared(checkpoint)
    model = pretrained.load(checkpoint, checkpoint.architecture)
    labels = pretrained.labels(model)
    rate: int = extractor.sampling_rate
    least = heard(model.config, getattr(model.config, "squeeze_factor", 1))
    window, notes = clip(checkpoint, labels, rate, least)
    most = max(round(MOST_S * rate), window)
    loosen(model, most)
    return Original(
        family=model.config.model_type,
        labels=labels,
        rate=rate,
        window=window,
        reference=pretrained.reference(model, extractor, labels),
        front=Waveform(normalise=extractor.do_normalize),
        network=pretrained.Logits(model),
        activation=pretrained.activation(model),
        min_samples=least,
        max_samples=most,
        optimum=model,
        notes=notes,
    )


def prepared(checkpoint: Checkpoint) -> Any:
    """Return the feature extractor. Raises ExportError: it makes more of audio than a waveform."""
    extractor = pretrained.extractor(checkpoint, EXTRACTOR)
    if extractor.feature_size != 1:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json says feature_size "
            f"{extractor.feature_size}, {checkpoint.architecture} hears a waveform, which is 1; "
            "copy the file from the checkpoint that this one was fine-tuned from"
        )
    return extractor


def clip(checkpoint: Checkpoint, labels: list[str], rate: int, least: int) -> tuple[int, list[str]]:
    """Return the window in samples, as far as it is told, and what the user should know of it."""
    if seconds := window_s(labels):
        return max(least, round(seconds * rate)), []
    told = checkpoint.preprocessor.get("max_length")  # in samples; of a spectrogram it is less
    if type(told) is int and rate // 4 <= told <= MOST_S * rate:
        return max(least, told), []
    note = (
        "the checkpoint does not say how long its training clips were: the window is "
        f"{WINDOW_S:g} s; --window-s sets another"
    )
    return max(least, round(WINDOW_S * rate)), [note]


def heard(config: Any, frames: int) -> int:
    """Return how many samples the convolutions need for so many frames."""
    samples = frames
    layers = zip(config.conv_kernel, config.conv_stride, strict=True)
    for kernel, stride in reversed(list(layers)):
        samples = (samples - 1) * stride + kernel
    return samples


def loosen(model: nn.Module, most: int) -> None:
    """Take from a network what a trace would freeze; what it computes stays the same.

    most: samples that it will hear at most.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "cached_rotary_positional_embedding"):
            module.register_forward_pre_hook(_forget)
        if hasattr(module, "extend_pe"):  # a table that grows with the clip, so: grown for good
            module(next(model.parameters()).new_zeros(1, most // _hop(model.config), 1))
        if hasattr(module, "upsample") and hasattr(module, "pool"):  # the encoder of SEW
            module.pos_conv_embed.register_forward_hook(_trim)
            module.register_forward_hook(_fill)


def _hop(config: Any) -> int:
    hop = 1
    for stride in config.conv_stride:
        hop *= stride
    return hop


def _forget(module: Any, inputs: tuple[Tensor, ...]) -> None:
    """Keep no rotary embedding: the last clip's would become a constant of the graph."""
    module.cached_sequence_length = None


def _trim(module: Any, inputs: tuple[Tensor, ...], positions: Tensor) -> Tensor:
    """Cut positions [batch, d, frames] to the pooled frames, before a trace chooses the shorter."""
    return positions[..., : inputs[0].shape[-1] // module.conv.stride[0]]


def _fill(module: Any, inputs: tuple[Tensor, ...], outputs: Any) -> Any:
    """Pad by the frames that pooling lost, whether or not the traced clip lost any."""
    lost = inputs[0].shape[1] - outputs.last_hidden_state.shape[1]
    outputs.last_hidden_state = functional.pad(outputs.last_hidden_state, (0, 0, 0, lost))
    return outputs
