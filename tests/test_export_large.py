"""Networks too large for one ONNX file in float32: small ones, and a limit set low."""

import numpy as np
import onnx
import optimum.exporters.onnx
import pytest
import test_export_wav2vec2_bert
import test_export_waveform

from export import exporter, graph
from kws import load
from kws.errors import ExportError

MAKERS = {"optimum": test_export_waveform.saved, "torch": test_export_wav2vec2_bert.save}


@pytest.fixture
def limit(monkeypatch):
    """Sets a limit that float32 weights exceed; optimum then lays them beside the graph."""
    whole = optimum.exporters.onnx.onnx_export_from_model

    def beside(model, output, **options):
        whole(model, output, **options)
        made = onnx.load(output / "model.onnx")
        onnx.save(
            made, output / "model.onnx", save_as_external_data=True, location="model.onnx_data"
        )

    monkeypatch.setattr(optimum.exporters.onnx, "onnx_export_from_model", beside)

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
