"""Measuring words: where they lie in the truth, which events match them, what the counts mean."""
