"""Wyoming: the protocol by which Home Assistant and others let words be heard."""
