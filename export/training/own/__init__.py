"""Own words: what a person says becomes a model, from the bundled one on."""
