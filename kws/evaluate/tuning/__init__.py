"""Tuning: thresholds for one voice and one room."""
