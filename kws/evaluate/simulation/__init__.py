"""Simulation: streams made of clips, with the truth of where each word lies."""
