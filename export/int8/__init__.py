"""int8: how weights become small, and whether they did."""
