"""Drawing: what was heard, and how well, as pictures."""
