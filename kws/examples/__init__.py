"""Examples: programs of a page each, to be run, read, copied and changed."""
