"""SpeechBrain: reading its directories, without SpeechBrain."""
