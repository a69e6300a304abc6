"""Argument types of the test programs."""

import argparse


def positive(text: str) -> int:
    """A positive integer."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be a positive integer")
    return number
