"""Output of the commands: one line per step, and tables."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

MOVES_SECONDS = 1.0
CLEARED = "\r\033[K"
"""Moves a terminal to the start of the line, and empties it."""


def _nothing() -> str:
    return ""


@dataclass
class Outcome:
    text: str = "done"
    so_far: Callable[[], str] = field(default=_nothing)
    """What a step that takes long has done, for a person who watches; called from another thread."""


@contextmanager
def step(label: str, doing: str) -> Iterator[Outcome]:
    """Prints what is being done, then on the same line its outcome and how long it took.

    On a terminal, the line also shows meanwhile how long it has been taking.
    """
    begun = f"{label:<12}{doing} ... "
    print(begun, end="", flush=True)
    outcome = Outcome()
    began = time.monotonic()
    try:
        with _moving(begun, outcome, began):
            yield outcome
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{outcome.text} ({time.monotonic() - began:.1f} s)", flush=True)


@contextmanager
def _moving(begun: str, outcome: Outcome, began: float) -> Iterator[None]:
    """Does nothing unless a person watches."""
    if not is_watched():
        yield
        return
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(MOVES_SECONDS):
            facts = " ".join(filter(None, (outcome.so_far(), f"{time.monotonic() - began:.0f} s")))
            print(f"{CLEARED}{fitting(begun + facts)}", end="", flush=True)

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        print(f"{CLEARED}{begun}", end="", flush=True)


def is_watched() -> bool:
    """Whether the output is a terminal."""
    return sys.stdout.isatty()


def fitting(line: str) -> str:
    """The line's part that fits on one row of the terminal: only one row can be written anew."""
    return line[: shutil.get_terminal_size().columns - 1]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns. The rows have equally many cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
