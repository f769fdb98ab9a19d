"""Report: an evaluation as one page."""
