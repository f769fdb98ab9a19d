"""Synthesised clips that ship with the exporter; `export.recordings` reads them."""
