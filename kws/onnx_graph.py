"""OnnxGraph: an ONNX file's graph, opened on one thread; its errors are ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from kws.errors import ModelError
from kws.foreign import Signature, identify_bytes, signature
from kws.interrupts import begin_call, finish_call

if TYPE_CHECKING:
    import onnxruntime


class OnnxGraph:
    """An opened graph. Immutable: any thread may call it.

    inputs, outputs: as onnxruntime describes them, with `name`, `shape` and `type`.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Open a file, or `content`, where that isn't to be read from it.

        Raises ModelError: no such file, not ONNX.
        """
        self.path, self._session, self._options = path, _open(path, content), _run_options()
        self.inputs, self.outputs = self._session.get_inputs(), self._session.get_outputs()

    def metadata(self, key: str) -> str | None:
        """Return what the file says under a key. Raises UnicodeDecodeError: it is no UTF-8."""
        found: str | None = self._session.get_modelmeta().custom_metadata_map.get(key)
        return found

    @property
    def signature(self) -> Signature:
        """What tells the graph's kind."""
        return signature(self._session)

    def run(self, outputs: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return outputs. Raises ModelError: it fails; a signal or a time limit has ended it."""
        options = begin_call(self._options)
        try:
            found: list[NDArray[Any]] = self._session.run(outputs, feed, options)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
            ended = options is not None and options.terminate
            what = "its graph did not end; it was ended" if ended else "can't be run: "
            raise ModelError(f"{self.path}: {what}{'' if ended else reason(error)}") from None
        finally:
            finish_call(options)
        return found


def _open(file: Path, content: bytes | None) -> onnxruntime.InferenceSession:
    if content is None and not file.is_file():
        what = "is a directory" if file.is_dir() else "no such file"
        what = "is no regular file" if file.exists() and not file.is_dir() else what
        raise ModelError(f"{file}: {what}; give the path of an .onnx file")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)  # errors are told by ours
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena alone off costs memory: patterns would still hold on to it.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(file) if content is None else content,
            sess_options=options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it tries the same once more, and prints to stdout
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
        what = identify_bytes(file) or f"is not a readable ONNX model: {reason(error)}"
        raise ModelError(f"{file}: {what}") from None


def _run_options() -> onnxruntime.RunOptions:
    """Return options of calls that can be ended, about which nothing but our errors is said."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    return options


def reason(error: Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())[:200]
