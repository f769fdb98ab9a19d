"""Checkpoints with the sizes of published ones and random weights, to measure exports with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.labels import SPEECH_COMMANDS

HEAD = 20.0
"""How much larger the last layer is made, so that labels stand apart."""
COMMANDS = sorted(SPEECH_COMMANDS)

Make = Callable[[Path], None]


def pretrained(
    folder: Path,
    kind: str,
    config: dict[str, Any],
    extractor: str,
    extraction: dict[str, Any] | None = None,
    *,
    head: str = "classifier",
) -> None:
    """Save a network of a transformers class, and the feature extractor that belongs to it."""
    import transformers

    network = getattr(transformers, kind)
    model = network(network.config_class(**config)).eval()
    with torch.no_grad():
        model.get_submodule(head).weight.mul_(HEAD)
    model.save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # AST's lowest mels hold no bin
        getattr(transformers, extractor)(**extraction or {}).save_pretrained(folder)


def waveform(folder: Path, kind: str, config: dict[str, Any], *, head: str = "classifier") -> None:
    """Save a network that hears the waveform itself."""
    layer = config.get("feat_extract_norm") == "layer"
    extraction = {"do_normalize": True, "return_attention_mask": layer}
    pretrained(folder, kind, config, "Wav2Vec2FeatureExtractor", extraction, head=head)


def labels(names: list[str]) -> dict[str, Any]:
    """Return what names a configuration's labels."""
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }


SETTINGS = """\
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: {mels}
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.{model}
    {sizes}
classifier: !new:speechbrain.lobes.models.Xvector.Classifier
    input_shape: [null, null, {embedding}]
    activation: !name:torch.nn.LeakyReLU
    lin_blocks: 1
    lin_neurons: 512
    out_neurons: {labels}
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
"""


def speechbrain(
    folder: Path, network: Callable[[], nn.Module], words: list[str], **settings: object
) -> None:
    """Save a network in SpeechBrain's layout, with the classifier that belongs to it."""
    from export.speechbrain.layers import Perceptron

    embedding = settings["embedding"]
    classifier = Perceptron(embedding, len(words), nn.LeakyReLU, 1, 512)  # type: ignore[arg-type]
    with torch.no_grad():
        classifier.get_submodule("out.w").weight.mul_(HEAD)  # type: ignore[operator]
    torch.save(network().state_dict(), folder / "embedding_model.ckpt")
    torch.save(classifier.state_dict(), folder / "classifier.ckpt")
    text = SETTINGS.format(labels=len(words), **settings)
    (folder / "hyperparams.yaml").write_text(text, encoding="utf-8")
    listed = "".join(f"{word!r} => {index}\n" for index, word in enumerate(words))
    (folder / "label_encoder.txt").write_text(listed, encoding="utf-8")


def _xvector() -> nn.Module:
    from export.checkpoints.speechbrain_xvector import XVector

    layers = [(512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1), (1500, 1, 1)]
    return XVector(24, nn.LeakyReLU, layers, 512)


def _ecapa() -> nn.Module:
    from export.checkpoints.speechbrain_ecapa import Ecapa

    layers = [(1024, 5, 1, 1), (1024, 3, 2, 1), (1024, 3, 3, 1), (1024, 3, 4, 1), (3072, 1, 1, 1)]
    return Ecapa(
        60, 256, layers,
        activation=nn.ReLU, scale=8, squeezed=128, attention=128, context=True,
    )  # fmt: skip


def clap(folder: Path) -> None:
    """Save a CLAP as published, but for its vocabulary: that of a tokenizer of single letters."""
    import transformers

    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *map(chr, range(33, 127)), "\u0120"]
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    network: Any = transformers.ClapModel
    network(network.config_class()).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)


def ours(folder: Path) -> None:
    """Save a network of the bundled model's size, as export.training does."""
    from export.training.network import Config, XVector
    from export.training.vocabulary import LABELS

    network = XVector(Config(len(LABELS), pooled=192))
    average = {f"module.{name}": value for name, value in network.state_dict().items()}
    state = {"config": network.config.as_card(), "labels": LABELS, "average": average}
    torch.save(state, folder / "checkpoint.pt")


KS = labels(["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go",
             "_silence_", "_unknown_"])  # fmt: skip
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
BILLION = {**LARGE, "hidden_size": 1280, "num_hidden_layers": 48, "intermediate_size": 5120}
MEDIUM = {
    "d_model": 1024,
    "encoder_layers": 24,
    "encoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_layers": 1,
}

ECAPA = """\
input_size: 60
    channels: [1024, 1024, 1024, 1024, 3072]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 128
    lin_neurons: 256"""

MAKERS: dict[str, Make] = {
    "AST": partial(
        pretrained,
        kind="ASTForAudioClassification",
        config={"max_length": 128, **labels(COMMANDS)},
        extractor="ASTFeatureExtractor",
        extraction={"max_length": 128, "mean": -6.845978, "std": 5.5654526},
        head="classifier.dense",
    ),
    "wav2vec2 base": partial(
        waveform,
        kind="Wav2Vec2ForSequenceClassification",
        config={"use_weighted_layer_sum": True, **KS},
    ),
    "DistilHuBERT": partial(
        waveform,
        kind="HubertForSequenceClassification",
        config={"num_hidden_layers": 2, **KS},
    ),
    "HuBERT large": partial(
        waveform, kind="HubertForSequenceClassification", config={**LARGE, "num_labels": 4}
    ),
    "WavLM base": partial(
        waveform, kind="WavLMForSequenceClassification", config={"num_labels": 4}
    ),
    "XLS-R 300M": partial(
        waveform, kind="Wav2Vec2ForSequenceClassification", config={**LARGE, "num_labels": 14}
    ),
    "MMS 1B": partial(
        waveform, kind="Wav2Vec2ForSequenceClassification", config={**BILLION, "num_labels": 126}
    ),
    "data2vec base": partial(
        waveform, kind="Data2VecAudioForSequenceClassification", config={"num_labels": 4}
    ),
    "UniSpeech-SAT base": partial(
        waveform, kind="UniSpeechSatForSequenceClassification", config={"num_labels": 4}
    ),
    "SEW base": partial(waveform, kind="SEWForSequenceClassification", config={"num_labels": 4}),
    "SEW-D base": partial(waveform, kind="SEWDForSequenceClassification", config={"num_labels": 4}),
    "wav2vec2-conformer base": partial(
        waveform, kind="Wav2Vec2ConformerForSequenceClassification", config={"num_labels": 4}
    ),
    "wav2vec2-bert": partial(
        pretrained,
        kind="Wav2Vec2BertForSequenceClassification",
        config={"num_labels": 4},
        extractor="SeamlessM4TFeatureExtractor",
    ),
    "WavLM x-vector": partial(
        waveform, kind="WavLMForXVector", config={}, head="feature_extractor"
    ),
    "x-vector (SpeechBrain)": partial(
        speechbrain,
        network=_xvector,
        words=COMMANDS,
        model="Xvector.Xvector",
        mels=24,
        sizes="in_channels: 24",
        embedding=512,
    ),
    "ECAPA-TDNN": partial(
        speechbrain,
        network=_ecapa,
        words=[f"{index}: language" for index in range(107)],
        model="ECAPA_TDNN.ECAPA_TDNN",
        mels=60,
        sizes=ECAPA,
        embedding=256,
    ),
    "our x-vector, stream": ours,
    "our x-vector, window": ours,
    "CLAP": clap,
    "Whisper medium": partial(
        pretrained,
        kind="WhisperForAudioClassification",
        config={**MEDIUM, "num_labels": 102},
        extractor="WhisperFeatureExtractor",
    ),
}
