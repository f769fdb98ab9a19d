"""Corpus: labelled clips in folders."""
