"""Output of the commands: one line per step, and tables."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Outcome:
    text: str = "done"


@contextmanager
def step(label: str, doing: str) -> Iterator[Outcome]:
    """Prints what is being done, then on the same line its outcome and how long it took."""
    print(f"{label:<12}{doing} ... ", end="", flush=True)
    outcome = Outcome()
    began = time.monotonic()
    try:
        yield outcome
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{outcome.text} ({time.monotonic() - began:.1f} s)", flush=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns. The rows have equally many cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
