class LocalError(Exception):
    """An expected failure: its text says what is wrong and what to do next."""
