"""HTTP: classify a recording, follow what is heard, ask how it goes; doors shut to others."""
