"""Networks too large for one ONNX file in float32: small ones, and a limit set low."""

from pathlib import Path

import numpy as np
import onnx
import optimum.exporters.onnx
import pytest
import test_export_wav2vec2_bert
import test_export_waveform
import torch

from export import exporter, graph
from kws import load
from kws.errors import ExportError

MAKERS = {"optimum": test_export_waveform.saved, "torch": test_export_wav2vec2_bert.save}


@pytest.fixture
def limit(monkeypatch):
    """Sets a limit that float32 weights exceed; both ways then lay values beside the graph."""
    by_optimum, by_torch = optimum.exporters.onnx.onnx_export_from_model, torch.onnx.export

    def laid_beside(path):
        made = onnx.load(path)
        onnx.save(
            made, path, save_as_external_data=True, size_threshold=1024, convert_attribute=True,
            location=f"{path.name}_data",
        )  # fmt: skip

    def optimum_beside(model, output, **options):
        by_optimum(model, output, **options)
        laid_beside(output / "model.onnx")

    def torch_beside(*arguments, **options):
        by_torch(*arguments, **options)
        if len(arguments) == 3:  # ours; optimum names them all
            laid_beside(Path(arguments[2]))

    monkeypatch.setattr(optimum.exporters.onnx, "onnx_export_from_model", optimum_beside)
    monkeypatch.setattr(torch.onnx, "export", torch_beside)

    def below(folder):
        size = (folder / "model.safetensors").stat().st_size
        monkeypatch.setattr(graph, "LIMIT", round(0.8 * size))

    return below


@pytest.mark.parametrize("way", MAKERS)
def test_a_large_network_becomes_one_int8_file(way, tmp_path, limit):
    """Its float32 weights lie beside the graph meanwhile; the file stands alone."""
    folder, out = tmp_path / "checkpoint", tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    MAKERS[way](folder)
    limit(folder)
    card = exporter.export(str(folder), out, exporter.Options(most=8, force=True), [].append)
    kept = onnx.load(out, load_external_data=False).graph.initializer

    assert way in card.source.way
    assert [out] == list(out.parent.iterdir())
    assert not [each.name for each in kept if each.external_data]
    assert card.parity.max_difference <= 1e-4
    assert np.isfinite(load(out).scores(np.zeros(16_000, np.float32))).all()


def test_float32_that_does_not_fit_is_refused_with_the_reason(tmp_path, limit):
    """Before anything is exported."""
    folder = tmp_path / "checkpoint"
    test_export_waveform.saved(folder)
    limit(folder)

    with pytest.raises(ExportError, match="one ONNX file holds 2 GB; leave --quantize none out"):
        exporter.export(str(folder), tmp_path / "model.onnx", exporter.Options("none"), [].append)
