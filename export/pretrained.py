"""Pretrained: what the families of Hugging Face transformers share."""

from __future__ import annotations

import errno
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from export.checkpoint import Checkpoint
from kws.errors import ExportError
from kws.flow import Samples
from kws.install_hint import install_hint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


RATES = (1000, 192_000)
"""Sampling rates in Hz that a checkpoint can mean."""


class Logits(nn.Module):
    """A model of transformers, reduced to its logits: features -> (logits,)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Return the logits [batch, labels]."""
        return (self.model(features).logits,)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers and torch from telling what concerns their own users."""
    import transformers

    bars: Any = transformers.utils.logging
    level = bars.get_verbosity()
    bars.set_verbosity_error()
    bars.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        bars.set_verbosity(level)


def load(checkpoint: Checkpoint, kind: str) -> PreTrainedModel:
    """Load a model by the name of its transformers class, in float32, in eval mode.

    No code of the checkpoint is run: no remote code, pickles by weights_only. Raises ExportError:
    weights are missing, malformed, no numbers, or don't fit the configuration.
    """
    transformers = need()
    if not checkpoint.weight_bytes():
        raise ExportError(
            f"{checkpoint.path}: has no weights; copy its model.safetensors or pytorch_model.bin "
            "there"
        )
    with quiet():
        try:
            model, told = getattr(transformers, kind).from_pretrained(
                checkpoint.path,
                local_files_only=True,
                trust_remote_code=False,
                attn_implementation="eager",  # what can be traced
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told by name, and refused below
            )
        except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
            raise ExportError(f"{checkpoint.path}: {_reason(error)}") from None
    _check(checkpoint, model, told)
    loaded: PreTrainedModel = model.float().eval()
    return loaded


def _check(checkpoint: Checkpoint, model: PreTrainedModel, told: dict[str, Any]) -> None:
    """Raise ExportError where weights are not what config.json describes, or no numbers."""
    weights = dict(model.named_parameters())
    # transformers 4 tells names, 5 tells sizes too
    unfit = {key if isinstance(key, str) else key[0] for key in told["mismatched_keys"]}
    if unfit:
        name = min(unfit, key=lambda name: (".weight" not in name, name))
        raise ExportError(f"{checkpoint.path}: {_unfit(checkpoint, name, weights)}")
    # Some buffers are never saved; a weight that is missing would be random.
    if missing := sorted(set(told["missing_keys"]) & set(weights)):
        raise ExportError(
            f"{checkpoint.path}: the weights lack {', '.join(missing[:3])}; the checkpoint is "
            "incomplete, or has no classification head"
        )
    if broken := next((n for n, value in weights.items() if not value.isfinite().all()), None):
        raise ExportError(
            f"{checkpoint.path}: the weights hold NaN or infinity ({broken}); its training "
            "diverged, take an earlier checkpoint"
        )


def _unfit(checkpoint: Checkpoint, name: str, weights: dict[str, nn.Parameter]) -> str:
    from safetensors import safe_open

    wanted, stored = list(weights[name].shape) if name in weights else "of another size", None
    for file in checkpoint.path.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            if name in opened.keys():  # noqa: SIM118 - it is no dict
                stored = opened.get_slice(name).get_shape()
    if "classifier" in name and stored and stored[1:] == wanted[1:]:
        return (
            f"config.json names {wanted[0]} labels, the weights have {stored[0]} ({name}); correct "
            "its id2label and label2id"
        )
    return (
        f"{name} is {wanted} by config.json, {stored or 'of another size'} in the weights; they "
        "belong to different checkpoints"
    )


def extractor(checkpoint: Checkpoint, kind: str) -> Any:
    """Load the feature extractor, which is to be of the class `kind`. Raises ExportError."""
    transformers = need()
    # Old files name it by `feature_extractor_type`, some by nothing at all.
    named = checkpoint.preprocessor.get("feature_extractor_type", kind)
    if named != kind:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json names {named}, {checkpoint.architecture} "
            f"needs {kind}"
        )
    with quiet():
        try:
            found = getattr(transformers, kind).from_dict(dict(checkpoint.preprocessor))
        except Exception as error:  # noqa: BLE001 - as above
            raise ExportError(
                f"{checkpoint.path}: preprocessor_config.json makes no {kind}: {_line(error)}"
            ) from None
    rate = found.sampling_rate
    if type(rate) is not int or not RATES[0] <= rate <= RATES[1]:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json says sampling_rate {rate!r}, which is no "
            f"rate in Hz between {RATES[0]} and {RATES[1]}"
        )
    return found


def labels(model: PreTrainedModel) -> list[str]:
    """Return the labels in the order of the logits. Raises ExportError: the order has holes."""
    names: dict[int, str] = model.config.id2label or {}
    if sorted(names) != list(range(len(names))):
        raise ExportError(
            f"{model.name_or_path}: config.json numbers its labels {sorted(names)[:10]} in "
            f"id2label; they must be 0 to {len(names) - 1}"
        )
    return [str(names[index]) for index in range(len(names))]


def activation(model: PreTrainedModel) -> Literal["softmax", "sigmoid"]:
    """Return what makes probabilities of the logits: sigmoid, where several labels can be true.

    transformers 5 does so of its own accord, 4 has to be told. Softmax for AudioSet's AST, which
    names no problem type; not for a single label, of which it would make 1 whatever is heard.
    Raises ExportError: it was trained for regression.
    """
    problem = model.config.problem_type
    if problem == "regression":
        raise ExportError(
            f"{model.name_or_path}: config.json says problem_type regression, so its scores are no "
            "probabilities; only classifiers are exported"
        )
    alone = len(model.config.id2label or {}) == 1
    return "sigmoid" if alone or problem == "multi_label_classification" else "softmax"


def reference(
    model: PreTrainedModel, extractor: Any, labels: Sequence[str]
) -> Callable[[Samples], Samples]:
    """Return transformers' own audio-classification pipeline as audio -> probabilities."""
    transformers = need()
    with quiet():
        pipeline = transformers.pipeline(
            "audio-classification", model=model, feature_extractor=extractor, device="cpu"
        )
    does = activation(model)
    order = {label: index for index, label in enumerate(labels)}

    def scores(audio: Samples) -> Samples:
        try:
            with quiet(), torch.no_grad():
                told = pipeline(audio.copy(), top_k=len(labels), function_to_apply=does)
        except Exception as error:  # noqa: BLE001 - whatever an odd configuration provokes
            raise ExportError(
                f"{model.name_or_path}: transformers itself can't run it on {len(audio)} samples: "
                f"{_line(error)}"
            ) from None
        found = np.zeros(len(labels), np.float32)
        for each in told:
            found[order[str(each["label"])]] = each["score"]
        return found

    return scores


def need() -> Any:
    """Import and return transformers. Raises ExportError: it is not installed."""
    try:
        import transformers
    except ImportError:
        raise ExportError(f"this checkpoint needs transformers; {install_hint('export')}") from None
    return transformers


def _reason(error: BaseException) -> str:
    """Say in a line why nothing could be loaded, by the first cause."""
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    for cause in causes:
        text = _line(cause)
        if isinstance(cause, pickle.UnpicklingError):
            return (
                "its weights are a pickle that is damaged or holds more than tensors; nothing in "
                "it was run; get the checkpoint as safetensors"
            )
        # Of a pickle that is cut off torch says either of these.
        torn = "PytorchStreamReader" in text or getattr(cause, "errno", None) == errno.EINVAL
        if torn or isinstance(cause, EOFError) or type(cause).__name__ == "SafetensorError":
            return f"its weights are cut off or damaged ({text[:120]}); download them again"
    if "on meta" in _line(error):  # transformers 4, of a weight norm that was not filled
        return "config.json describes other sizes than the weights have; they don't belong together"
    return f"transformers can't load it: {type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
