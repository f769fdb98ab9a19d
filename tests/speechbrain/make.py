"""Makes the small SpeechBrain directories beside this file, with what SpeechBrain itself gives.

`python tests/speechbrain/make.py`, in an environment of its own:

    python -m venv sb
    sb/bin/pip install torch==2.13.0   # the build for CPUs
    sb/bin/pip install speechbrain==1.1.2 torchaudio==2.11.0 soundfile
    rm sb/lib/python3*/site-packages/torchaudio/lib/*.so   # it has no build for CPUs
    sb/bin/python tests/speechbrain/make.py

Three directories, laid out as the published ones: `xvector` (speechbrain/
google_speech_command_xvector), `ecapa` (speechbrain/lang-id-voxlingua107-ecapa), `cosines`
(TalTechNLP/voxlingua107-epaca-tdnn). The weights are ours: drawn at random, batch norms measured
on the words in tests/words, the last layer fitted to them, all rounded to bfloat16.

Each reference.npz holds, for each recording in `recordings`, `NAME/features` (normalised),
`NAME/embedding` and `NAME/scores` (classify_batch's log-probabilities or cosines) after
torch.manual_seed(0), and for the x-vector `NAME/embedding_mean`, `NAME/scores_mean` with the noise
of StatisticsPooling replaced by its mean, 5e-5.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models import ECAPA_TDNN, Xvector
from speechbrain.nnet.pooling import StatisticsPooling
from speechbrain.processing.features import InputNormalization
from torch import nn

FOLDER = Path(__file__).parent
WORDS = FOLDER.parent / "words"
COMMANDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
CUTS = {"yes": ("flite-slt", "yes", 16_000), "stop": ("flite-awb", "stop", 8_000),
        "odd": ("espeak-ng-en-us", "marvin", 14_321)}  # fmt: skip
"""Recordings by name: voice, word, samples."""
LENGTH = 16_000

MODEL = {
    "xvector": """\
embedding_model: !new:speechbrain.lobes.models.Xvector.Xvector
    in_channels: !ref <n_mels>
    activation: !name:torch.nn.LeakyReLU
    tdnn_blocks: 5
    tdnn_channels: [24, 24, 24, 24, 48]
    tdnn_kernel_sizes: [5, 3, 3, 1, 1]
    tdnn_dilations: [1, 2, 3, 1, 1]
    lin_neurons: 32
""",
    "ecapa": """\
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 24, 24, 24, 64]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 16
    se_channels: 12
    lin_neurons: 32
""",
}
PERCEPTRON = """\
classifier: !new:speechbrain.lobes.models.Xvector.Classifier
    input_shape: [null, null, 32]
    activation: !name:torch.nn.LeakyReLU
    lin_blocks: 1
    lin_neurons: 32
    out_neurons: !ref <out_n_neurons>
"""
COSINES = """\
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 32
    out_neurons: !ref <out_n_neurons>
"""
SETTINGS = """\
pretrained_path: {hub}

n_mels: {mels}
out_n_neurons: {labels}

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

{embedding}
{classifier}
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>

label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""


def padded(path, length=LENGTH):
    """Read a recording, with silence around it or cut: float32 [1, length]."""
    audio = soundfile.read(path, dtype="float32")[0][:length]
    before = (length - len(audio)) // 2
    return torch.from_numpy(np.pad(audio, (before, length - len(audio) - before)))[None]


def material(by_voice):
    """Recordings [n, LENGTH], their labels' indices [n], and the labels."""
    paths = sorted(WORDS.glob("*/*.opus"))
    if by_voice:
        labels = sorted({path.parent.name for path in paths})
        indices = [labels.index(path.parent.name) for path in paths]
        return torch.cat([padded(path) for path in paths]), torch.tensor(indices), labels
    labels = [*COMMANDS, "silence", "unknown"]
    indices = [labels.index(path.stem) if path.stem in COMMANDS else 11 for path in paths]
    noise = 1e-3 * torch.randn(16, LENGTH)
    audio = torch.cat([*(padded(path) for path in paths), noise])
    return audio, torch.tensor([*indices, *[10] * 16]), labels


def seeded(network):
    """Draw weights, and batch norms' affine parameters."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.uniform_(layer.bias, -0.1, 0.1)
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
            layer.momentum = None  # running statistics: those of all that it hears once


@torch.no_grad()
def measured(network, values):
    """Let the batch norms hear `values` once, and return what the network then gives."""
    network.train()
    network(values)
    network.eval()
    return network(values)


@torch.no_grad()
def fitted(hidden, targets, count):
    """Return weights and biases of a ridge regression from `hidden` to log-odds-like targets."""
    wanted = 10.0 * nn.functional.one_hot(targets, count) - 5.0
    known = torch.cat([hidden, torch.ones(len(hidden), 1)], 1)
    square = known.T @ known + 0.5 * torch.eye(known.shape[1])
    solved = torch.linalg.solve(square, known.T @ wanted).T
    return solved[:, :-1].contiguous(), solved[:, -1].contiguous()


def rounded(network):
    """Round all weights to bfloat16, kept as float32."""
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.bfloat16().float())


def directory(name, hub, *, mels, embedding, classifier, by_voice=True):
    """Make a directory: settings, labels, weights, references."""
    torch.manual_seed(20240229)
    audio, indices, labels = material(by_voice)
    features = InputNormalization(norm_type="sentence", std_norm=False)(
        Fbank(n_mels=mels)(audio), torch.ones(len(audio))
    )
    seeded(embedding)
    embedded = measured(embedding, features)
    head = classifier(len(labels))
    if isinstance(head, ECAPA_TDNN.Classifier):
        plain = nn.functional.normalize(embedded.squeeze(1))
        means = [plain[indices == index].mean(0) for index in range(len(labels))]
        head.weight.data = torch.stack(means) - plain.mean(0)
    else:
        seeded(head)
        measured(head, embedded)
        hidden = []
        hook = head["out"].register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
        head(embedded)
        hook.remove()
        weight, bias = fitted(hidden[0].squeeze(1), indices, len(labels))
        head["out"].w.weight.data, head["out"].w.bias.data = weight, bias
    rounded(embedding)
    rounded(head)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.save(embedding.state_dict(), folder / "embedding_model.ckpt")
    torch.save(head.state_dict(), folder / "classifier.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(labels)
    encoder.save(folder / "label_encoder.txt")
    kind = PERCEPTRON if isinstance(head, Xvector.Classifier) else COSINES
    model = MODEL["xvector" if name == "xvector" else "ecapa"]
    settings = SETTINGS.format(
        hub=hub, mels=mels, labels=len(labels), embedding=model, classifier=kind
    )
    (folder / "hyperparams.yaml").write_text(settings)
    best = head(embedding(features)).squeeze(1).argmax(1)
    print(f"{name}: names {float((best == indices).float().mean()):.0%} of its words")
    np.savez_compressed(folder / "reference.npz", **references(folder))


@torch.no_grad()
def references(folder):
    """What SpeechBrain gives for the recordings."""
    with tempfile.TemporaryDirectory() as temporary:
        model = EncoderClassifier.from_hparams(
            source=str(folder), savedir=temporary, overrides={"pretrained_path": str(folder)}
        )
    found = {}
    for name in CUTS:
        audio = torch.from_numpy(soundfile.read(FOLDER / f"{name}.flac", dtype="float32")[0])
        features = model.mods.compute_features(audio[None])
        found[f"{name}/features"] = model.mods.mean_var_norm(features, torch.ones(1))[0]
        torch.manual_seed(0)
        found[f"{name}/embedding"] = model.encode_batch(audio)[0, 0]
        torch.manual_seed(0)
        found[f"{name}/scores"] = model.classify_batch(audio)[0][0]
        if folder.name == "xvector":
            found |= {f"{name}/{key}": value for key, value in without_chance(model, audio).items()}
    return {key: value.numpy() for key, value in found.items()}


def without_chance(model, audio):
    """What SpeechBrain gives where the pooling's noise is always its mean."""
    drawn = StatisticsPooling._get_gauss_noise
    StatisticsPooling._get_gauss_noise = lambda _, shape, device: torch.full(shape, 5e-5)
    try:
        return {
            "embedding_mean": model.encode_batch(audio)[0, 0],
            "scores_mean": model.classify_batch(audio)[0][0],
        }
    finally:
        StatisticsPooling._get_gauss_noise = drawn


def main():
    """Make recordings and directories."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    for name, (voice, word, length) in CUTS.items():
        audio = padded(WORDS / voice / f"{word}.opus", length)[0]
        audio = audio + 1e-3 * torch.randn(length)  # no digital silence: a floor is no test
        soundfile.write(FOLDER / f"{name}.flac", audio.numpy(), 16_000, "PCM_16")

    def perceptron(labels):
        return Xvector.Classifier([None, None, 32], lin_neurons=32, out_neurons=labels)

    def cosines(labels):
        return ECAPA_TDNN.Classifier(32, out_neurons=labels)

    def ecapa():
        return ECAPA_TDNN.ECAPA_TDNN(
            60, channels=[16, 24, 24, 24, 64], attention_channels=16, se_channels=12, lin_neurons=32
        )

    xvector = Xvector.Xvector(in_channels=24, tdnn_channels=[24, 24, 24, 24, 48], lin_neurons=32)
    directory(
        "xvector", "speechbrain/google_speech_command_xvector",
        mels=24, embedding=xvector, classifier=perceptron, by_voice=False,
    )  # fmt: skip
    directory(
        "ecapa", "speechbrain/lang-id-voxlingua107-ecapa",
        mels=60, embedding=ecapa(), classifier=perceptron,
    )  # fmt: skip
    directory(
        "cosines", "TalTechNLP/voxlingua107-epaca-tdnn",
        mels=60, embedding=ecapa(), classifier=cosines,
    )  # fmt: skip


if __name__ == "__main__":
    main()
