"""Workers: scoring spread over processes or machines."""
