"""Quantization: a float32 graph becomes int8 where that is small and fast, and nowhere else.

Dynamic, for networks of matrices: MatMul and Gemm with stored weights become MatMulInteger, whose
activations are scaled anew at every call. Static, for TDNNs: Conv, Gemm and MatMul stand between
QuantizeLinear and DequantizeLinear (QDQ), whose ranges are calibrated on recordings. Weights are
signed, with a scale per output channel. On x86, unsigned weights, ConvInteger and the QOperator
format are 2 to 12 times slower than these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
from onnx import external_data_helper
from onnxruntime import quantization

from export import IR, graph
from export.int8 import weights
from export.int8.check import GEMM, check
from export.int8.weights import Scheme
from kws import origin
from kws.errors import ExportError
from kws.flow import Samples

PERCENTILE = 99.999
"""Of a tensor's values, those within its int8 range. On a full-size x-vector (random convolutions)
the largest difference of a probability was 0.14, the mean of four sets of clips; with the range of
all values 0.16, which is hardly more than chance; 99.99 % gave 0.21, 99.9 % 0.47 on one set."""
PREPARED = {"key": "onnx.quant.pre_process", "value": "onnxruntime.quant"}
"""Tells the quantizer that graphs come prepared; its own way renames and fuses nodes."""


def quantize(
    source: Path, target: Path, scheme: Scheme, windows: Iterable[Samples] = ()
) -> origin.Quantization:
    """Write `source`, quantized, to `target`; say what was done and what stayed in float.

    source: a float32 graph; its weights may lie in a file beside it, and so do working files.
    windows: float32 [samples] each; what static ranges are calibrated on.
    Raises ExportError: the result is over 2 GB, or not what it should be.
    """
    model = onnx.load(source, load_external_data=False)
    large = any(map(external_data_helper.uses_external_data, model.graph.initializer))
    weights.prepare(model)
    nodes = list(weights.weighted(model, scheme))
    if not nodes:
        raise ExportError(f"{source}: has no weights that can become int8; say --quantize none")
    model.metadata_props.add(**PREPARED)
    with _beside(source) as (prepared, made):
        onnx.save(model, prepared)
        if scheme == "dynamic":
            _dynamic(prepared, made, nodes, large=large)
        else:
            _static(prepared, made, nodes, windows)
        _one_file(made, target)
    check(source, target, scheme)
    return origin.Quantization(f"int8-{scheme}", weights.kept(model, scheme))


def _dynamic(prepared: Path, made: Path, nodes: list[str], *, large: bool) -> None:
    quantization.quantize_dynamic(
        prepared,
        made,
        op_types_to_quantize=["MatMul"],
        # Each Gemm is first taken apart, and its MatMul gets that name.
        nodes_to_quantize=[*nodes, *(f"{name}{GEMM}" for name in nodes)],
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        use_external_data_format=large,
    )


def _static(prepared: Path, made: Path, nodes: list[str], windows: Iterable[Samples]) -> None:
    calibration = Calibration(windows)
    if not len(calibration):
        raise ExportError("there are no recordings to calibrate on; name a folder of some")
    with redirect_stdout(StringIO()):  # the calibrator tells each of its steps
        _calibrated(prepared, made, nodes, calibration)


def _calibrated(prepared: Path, made: Path, nodes: list[str], calibration: Calibration) -> None:
    quantization.quantize_static(
        prepared,
        made,
        calibration,
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(weights.QUANTIZED["static"]),
        nodes_to_quantize=nodes,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.Percentile,
        extra_options={
            "CalibPercentile": PERCENTILE,
            "CalibStridedMinMax": 1,  # window by window: all activations at once fill the memory
            # Their sums stay float32: 1.8 instead of 2.4 ms, and nearer to the float32 scores.
            "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
        },
    )


class Calibration:
    """Hands windows of audio to the calibrator, some of them at a time."""

    def __init__(self, windows: Iterable[Samples]) -> None:
        self._windows = list(windows)
        self._left = iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on with these windows."""
        self._left = iter(self._windows[start_index:end_index])

    def get_next(self) -> dict[str, Samples] | None:
        """Return the graph's inputs; None after the last window."""
        window = next(self._left, None)
        return None if window is None else {"audio": np.asarray(window, np.float32)[None]}


@contextmanager
def _beside(source: Path) -> Iterator[tuple[Path, Path]]:
    """Name two working files in the folder of `source`; they are removed in the end.

    There, because a graph may find its outer weights in its own folder only, not through links.
    """
    paths = source.with_name(f"{source.stem}.prepared.onnx"), source.with_name("quantized.onnx")
    try:
        yield paths
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.data").unlink(missing_ok=True)


def _one_file(made: Path, target: Path) -> None:
    """Gather graph and weights in one file that the oldest runtime reads."""
    model = onnx.load(made)
    size = sum(len(initializer.raw_data) for initializer in model.graph.initializer)
    if size > graph.LIMIT:
        raise ExportError(
            f"{target}: would hold {size / 1e9:.1f} GB even as int8, and one file ends at 2 GB; "
            "choose a smaller checkpoint"
        )
    model.ir_version = IR
    del model.metadata_props[:], model.graph.value_info[:]
    graph.declare_once(model)  # the quantizer names those of Microsoft, which it doesn't use
    onnx.save(model, target)
