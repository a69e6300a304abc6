class LocalError(Exception):
    """An expected failure. Its message says what is wrong and what to do next."""
