"""Importers: one file for each foreign model format that `kws import` reads."""
