"""The daemon: listens for months without a hand on it."""
