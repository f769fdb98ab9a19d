"""What fine-tuning is tested with: words that are tones, small checkpoints of random weights."""

import numpy as np
import soundfile
import torch

RATE = 16_000
TONES = {"high": 5_500, "low": 500, "mid": 2_200}
VOICES = ["anna", "bob", "cid", "dora", "eve", "finn"]
SMALL_AST = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.1,
    "max_length": 256,
    "frequency_stride": 16,
    "time_stride": 16,
}
SMALL_WAV2VEC2 = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 32,
    "feat_extract_norm": "layer",  # by channel it would take away what tells tones apart
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "hidden_dropout": 0.0,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
}


def tone(label, seed=0, seconds=0.7, rate=RATE):
    """A word: a tone of about its label's pitch, in faint noise; float32 [n]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    pitch = TONES[label] * rng.uniform(0.95, 1.05)
    wave = 0.3 * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
    return (wave + 0.003 * rng.standard_normal(len(time))).astype(np.float32)


def words(folder, count=30, labels=TONES, name="{voice}-{number}.wav", rate=RATE):
    """A folder of label folders; VOICES say each word in turn."""
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            voice = VOICES[number % len(VOICES)]
            seed = 1_000 * list(TONES).index(label) + number
            path = folder / label / name.format(voice=voice, number=number, label=label)
            seconds = 0.5 + 0.4 * np.random.default_rng(seed).random()
            soundfile.write(path, tone(label, seed, seconds, rate), rate)
    return folder


def ast(folder, labels=None):
    """A small AST that hears 2.6 s."""
    import transformers

    named = {} if labels is None else {"id2label": dict(enumerate(labels))}
    torch.manual_seed(1)
    config = transformers.ASTConfig(**SMALL_AST, **named)
    model = transformers.ASTForAudioClassification(config)
    places = model.audio_spectrogram_transformer.embeddings.position_embeddings
    torch.nn.init.normal_(places, std=0.1)  # zeros would have to learn first that there are pitches
    model.save_pretrained(folder)
    extractor = transformers.ASTFeatureExtractor(max_length=SMALL_AST["max_length"])
    extractor.save_pretrained(folder)
    return folder


def wav2vec2(folder, kind="Model", **options):
    """A small wav2vec2 with the head of such a kind, or with none."""
    import transformers

    torch.manual_seed(1)
    config = transformers.Wav2Vec2Config(**SMALL_WAV2VEC2 | options)
    getattr(transformers, f"Wav2Vec2{kind}")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
