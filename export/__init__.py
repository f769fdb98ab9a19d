"""From a checkpoint to one quantized ONNX file; torch lives here, never at run time."""

OPSET = 17
IR = 8
"""The oldest onnxruntime that pyproject.toml allows loads these."""
NEWEST_OPSET = 19
"""The newest operators that onnxruntime loads, too."""
