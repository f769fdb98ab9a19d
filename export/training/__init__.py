"""How the bundled model was made: `python -m export.training`."""
