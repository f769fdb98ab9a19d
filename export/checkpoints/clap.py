"""Family: CLAP of transformers, which scores a sound against labels that the user words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export import pretrained
from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.frontends.clap import ClapLogMel, Padding
from kws.errors import ExportError
from kws.flow import Samples

SOURCES = "zero-shot CLAP without fusion (transformers' ClapModel, with --labels)"
KIND = "ClapModel"
TEMPLATE = "This is a sound of {}."
"""The default of transformers' zero-shot-audio-classification pipeline."""


class ZeroShot(nn.Module):
    """Log-mels -> logits [batch, labels] and the sound's embedding [batch, d], of length 1.

    texts: float32 [labels, d], the labels' embeddings of length 1; no text model is kept.
    """

    texts: Tensor

    def __init__(self, model: Any, texts: Tensor) -> None:
        super().__init__()
        self.audio, self.projection = model.audio_model, model.audio_projection
        self.register_buffer("texts", texts)
        self.scale = float(model.logit_scale_a.detach().exp())

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines times the scale. A sum of products: as a matrix it would be stored in int8."""
        projected = self.projection(self.audio(input_features=features).pooler_output)
        embedding = projected / projected.norm(p=2, dim=-1, keepdim=True)
        return (embedding[:, None] * self.texts).sum(-1) * self.scale, embedding


def settle(encoder: Any) -> None:
    """Let each layer keep the window, the shift and the mask that it would choose at every call.

    It computes the same; but a trace would put the choosing into the graph: thousands of nodes.
    """
    for layer in encoder.modules():
        if hasattr(layer, "get_attn_mask"):
            layer.set_shift_and_window_size(layer.input_resolution)
            sides = [side + -side % layer.window_size for side in layer.input_resolution]
            mask = layer.get_attn_mask(*sides, torch.float32, torch.device("cpu"))
            layer.set_shift_and_window_size = _always(None)
            layer.get_attn_mask = _always(mask)


def _always(value: object) -> Callable[..., object]:
    return lambda *_, **__: value


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names the class."""
    return checkpoint.architecture == KIND


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read the network, and word the labels.

    Raises ExportError: fusion, no labels, files that are missing or contradict each other.
    """
    extractor = pretrained.extractor(checkpoint, "ClapFeatureExtractor")
    _refuse_fusion(checkpoint, extractor)
    labels = _labels(checkpoint, asked)
    template = TEMPLATE if asked.template is None else asked.template
    sentences = _sentences(labels, template)
    model: Any = pretrained.load(checkpoint, KIND)
    samples = _samples(checkpoint, extractor, model.config.audio_config)
    tokenizer = _tokenizer(checkpoint)
    settle(model.audio_model.audio_encoder)
    return Original(
        family="clap",
        labels=labels,
        rate=extractor.sampling_rate,
        window=samples,
        reference=_reference(model, extractor, tokenizer, labels, asked.template),
        front=ClapLogMel(
            samples,
            extractor.fft_window_size,
            extractor.hop_length,
            extractor.mel_filters_slaney,
            extractor.padding,
        ),
        network=ZeroShot(model, _texts(checkpoint, model, tokenizer, sentences)),
        outputs=("logits", "embedding"),
        max_samples=samples,
        padded=samples,
        spoken=False,
        notes=_notes(samples / extractor.sampling_rate, template),
    )


def _notes(seconds: float, template: str) -> list[str]:
    long = f"{seconds:g} s"
    return [
        f'the labels are worded "{template}"; --template words them otherwise',
        f"every call is filled to {long} and costs that much; --window-s sets a shorter window",
        f"of clips over {long} the original hears a random part, this model the first {long}",
    ]


def _refuse_fusion(checkpoint: Checkpoint, extractor: Any) -> None:
    audio = checkpoint.config.get("audio_config")
    fused = {
        "enable_fusion in config.json": isinstance(audio, dict)
        and bool(audio.get("enable_fusion")),
        "truncation in preprocessor_config.json": extractor.truncation == "fusion",
    }
    if any(fused.values()):
        raise ExportError(
            f"{checkpoint.path}: {checkpoint.name} is a fusion checkpoint "
            f"({', '.join(name for name, is_so in fused.items() if is_so)}): it mixes random parts "
            "of a clip, which no graph repeats; take one without, such as laion/clap-htsat-unfused"
        )


def _labels(checkpoint: Checkpoint, asked: Asked) -> list[str]:
    labels = [label.strip() for label in asked.labels or ()]
    example = '--labels "dog,vacuum cleaner"'
    if not labels:
        raise ExportError(
            f"{checkpoint.path}: CLAP knows no labels of its own; name yours: {example}"
        )
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise ExportError(f"--labels names {', '.join(sorted(repeated))} twice; once is enough")
    if not all(labels):
        raise ExportError(f"a label is empty; name each, as in {example}")
    if len(labels) == 1:
        raise ExportError(
            f"one label alone always scores 1; name what {labels[0]!r} is to be told from, "
            f"as in {example}"
        )
    return labels


def _sentences(labels: list[str], template: str) -> list[str]:
    try:
        sentences = [template.format(label) for label in labels]
    except (LookupError, ValueError, AttributeError):
        sentences = []
    if not sentences or any(a not in b for a, b in zip(labels, sentences, strict=True)):
        raise ExportError(
            f'--template "{template}" has no place for the label; write {{}} there, as in '
            f'"{TEMPLATE}"'
        )
    return sentences


def _samples(checkpoint: Checkpoint, extractor: Any, config: Any) -> int:
    """Return how many samples the network hears, having compared both files."""
    samples = int(extractor.nb_max_samples)
    frames = 1 + samples // extractor.hop_length
    room = config.spec_size * (config.spec_size // config.num_mel_bins)
    if extractor.feature_size != config.num_mel_bins or frames > room:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json makes {frames} frames of "
            f"{extractor.feature_size} mels, config.json wants at most {room} of "
            f"{config.num_mel_bins}; correct the wrong one"
        )
    if extractor.truncation != "rand_trunc" or extractor.padding not in get_args(Padding):
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json has truncation {extractor.truncation!r} "
            f"and padding {extractor.padding!r}; rand_trunc and repeatpad, repeat or pad are known"
        )
    return samples


def _tokenizer(checkpoint: Checkpoint) -> Any:
    """Load the tokenizer, by its class: what the files name as a class is never looked up."""
    # Without them transformers 5 invents an empty vocabulary.
    if not checkpoint.has("tokenizer.json") and not checkpoint.has("vocab.json", "merges.txt"):
        raise ExportError(
            f"{checkpoint.path}: has no tokenizer.json, nor vocab.json and merges.txt, so labels "
            "can't be read; copy them from the checkpoint that this one was fine-tuned from"
        )
    with pretrained.quiet():
        try:
            return pretrained.need().RobertaTokenizerFast.from_pretrained(
                checkpoint.path, local_files_only=True
            )
        except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
            reason = " ".join(str(error).split())[:300]
            raise ExportError(f"{checkpoint.path}: the tokenizer: {reason}") from None


def _texts(checkpoint: Checkpoint, model: Any, tokenizer: Any, sentences: list[str]) -> Tensor:
    """Return the sentences' embeddings [sentences, d], of length 1."""
    tokens = tokenizer(sentences, return_tensors="pt", padding=True)
    words, heed = tokens["input_ids"], tokens["attention_mask"]
    try:
        with torch.no_grad():
            pooled = model.text_model(input_ids=words, attention_mask=heed).pooler_output
            texts: Tensor = model.text_projection(pooled)
    except (IndexError, RuntimeError):
        raise ExportError(
            f"{checkpoint.path}: the text model can't take {words.shape[1]} tokens, numbered up to "
            f"{int(words.max())}; shorten labels or template, or the tokenizer is another model's"
        ) from None
    return functional.normalize(texts, dim=-1)


def _reference(
    model: Any, extractor: Any, tokenizer: Any, labels: Sequence[str], template: str | None
) -> Callable[[Samples], Samples]:
    """Return transformers' own zero-shot pipeline as audio -> probabilities."""
    transformers = pretrained.need()
    with pretrained.quiet():
        pipeline = transformers.pipeline(
            "zero-shot-audio-classification",
            model=model,
            feature_extractor=extractor,
            tokenizer=tokenizer,
            device="cpu",
        )
    options = {} if template is None else {"hypothesis_template": template}
    longest = int(extractor.nb_max_samples)

    def scores(audio: Samples) -> Samples:
        # Cut, so that it draws no part at random: the first is one that it could have drawn.
        with pretrained.quiet(), torch.no_grad():
            told = pipeline(audio[:longest].copy(), candidate_labels=list(labels), **options)
        found = {each["label"]: each["score"] for each in told}
        return np.array([found[label] for label in labels], np.float32)

    return scores
