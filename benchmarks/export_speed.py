"""What int8 gains: `python -m benchmarks.export_speed` -> benchmarks/export_speed.json.

Full-size AST and SpeechBrain x-vector with random weights, 1 s of audio, one thread: torch (the
original's own pipeline), float32 ONNX and int8 ONNX, all in one run and in turns, front end
included; of the ONNX forms the network's nodes alone, too, by onnxruntime's profiler. And our
x-vector: a hop of the stream model against a call of the window model, both float32.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.checkpoints import MAKERS
from export import exporter
from export.assemble import FRONT
from export.checkpoint import Checkpoint
from export.families import Asked, find
from kws.session import Model, load

RESULT = Path(__file__).with_suffix(".json")
NETWORKS = ("AST", "x-vector (SpeechBrain)")
VERSIONS = ("torch", "onnxruntime", "transformers", "optimum-onnx")
ROUNDS = 30
CALLS = 10

Times = dict[str, float]


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "versions": {name: metadata.version(name) for name in VERSIONS},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            results[name] = measure(name, Path(folder) / name)
            print(json.dumps({name: results[name]}, indent=1), flush=True)
        results["our x-vector"] = streaming(Path(folder) / "ours")
    print(json.dumps(results["our x-vector"], indent=1))
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Time one network's three forms on 1 s of noise."""
    source = made(name, folder)
    paths = {
        "float32": exported(source, folder / "float32.onnx", "none"),
        "int8": exported(source, folder / "int8.onnx", "int8"),
    }
    checkpoint = Checkpoint(source, name)
    reference = find(checkpoint).read(checkpoint, Asked()).reference
    audio = noise(16_000)
    calls: dict[str, Callable[[], object]] = {"torch": lambda: reference(audio)}
    for form, path in paths.items():
        model = load(path)
        calls[form] = lambda model=model: model.scores(audio)  # type: ignore[misc]
    ms = in_turns(calls)
    network = {form: profiled(path, audio) for form, path in paths.items()}
    return {
        "ms": ms,
        "network_ms": network,
        "megabytes": {form: path.stat().st_size / 1e6 for form, path in paths.items()},
        "int8_times_faster": round(ms["float32"] / ms["int8"], 2),
        "int8_network_times_faster": round(network["float32"] / network["int8"], 2),
    }


def streaming(folder: Path) -> dict[str, Any]:
    """Time a hop of our stream model against a call of our window model."""
    source = next(made("our x-vector, stream", folder).glob("*.pt"))
    models = {
        kind: load(exported(source, folder / f"{kind}.onnx", "none", Asked(kind=kind)))
        for kind in ("stream", "window")
    }
    ms = in_turns({kind: hop(model) for kind, model in models.items()})
    return {"ms": ms, "window_costs_times": round(ms["window"] / ms["stream"], 2)}


def hop(model: Model) -> Callable[[], object]:
    """Return what calls a model once."""
    audio = noise(model.card.hop if model.card.kind == "stream" else model.card.window)[None]
    return lambda: model.run(audio)


def made(name: str, folder: Path) -> Path:
    """Make a checkpoint of published size."""
    source = folder / "checkpoint"
    source.mkdir(parents=True)
    torch.manual_seed(1)
    MAKERS[name](source)
    torch.set_num_threads(1)
    return source


def exported(source: Path, out: Path, quantize: Any, asked: Asked | None = None) -> Path:
    """Export a checkpoint; random weights need not agree."""
    options = exporter.Options(quantize, asked=asked or Asked(), force=True)
    exporter.export(str(source), out, options, lambda _: None)
    return out


def noise(samples: int) -> Any:
    """Return quiet noise, float32 [samples]."""
    found = 0.1 * np.random.default_rng(1).standard_normal(samples)
    return found.astype(np.float32)


def in_turns(calls: dict[str, Callable[[], object]]) -> Times:
    """Return the CPU milliseconds of each call: the median round, all taken in turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begun = time.process_time()
            for _ in range(CALLS):
                call()
            found[name].append((time.process_time() - begun) / CALLS)
    return {name: round(1000 * statistics.median(costs), 3) for name, costs in found.items()}


def profiled(path: Path, audio: Any) -> float:
    """Return the milliseconds of the nodes behind the front end, in the median call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    session = onnxruntime.InferenceSession(str(path), options)
    for _ in range(ROUNDS):
        session.run(["scores"], {"audio": audio[None]})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    calls, spent = [], 0.0
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["name"] == "model_run":
            spent = 0.0
            calls.append(0.0)
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            spent += 0.0 if event["name"].startswith(FRONT) else event["dur"]
            calls[-1] = spent
    return round(statistics.median(calls) / 1000, 3)


if __name__ == "__main__":
    main()
