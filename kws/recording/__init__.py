"""Recording: one word, said again and again at a microphone, into a folder to train from."""
