"""From a checkpoint to one quantized ONNX file; torch lives here, never at run time."""
