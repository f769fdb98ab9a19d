"""How the bundled verifier is trained: `python -m export.training.verifier`."""
