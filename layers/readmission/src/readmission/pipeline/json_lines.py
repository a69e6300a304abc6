"""Reads a delivery of JSON lines: an object a line, all with the same keys."""

import json
from collections.abc import Iterator, Sequence
from typing import Final, Never

from readmission.errors import ColumnsMismatch, RowMalformed, SourceMalformed

_SHOWN: Final = 40  # characters of a key in an error
_LISTED: Final = 5
ENDINGS: Final = (".jsonl", ".ndjson")

type Pairs = tuple[tuple[str, object], ...]


def keys(line: str, where: str) -> list[str]:
    """The keys of the first line, which are the columns. Raises `SourceMalformed` and `ColumnsMismatch`."""
    try:
        names = [name for name, _ in _pairs(line)]
    except ValueError as error:
        raise SourceMalformed(f"{where}, row 1 {error}") from None
    if repeated := sorted({name[:_SHOWN] for name in names if names.count(name) > 1}):
        raise ColumnsMismatch(f"{where}: repeated: {', '.join(map(repr, repeated))}")
    return names


def rows(lines: Iterator[str], names: Sequence[str], where: str) -> Iterator[list[object]]:
    """The values of each line, in the order of `names`, without blank lines. Raises `RowMalformed`."""
    expected = tuple(names)
    for number, line in enumerate(filter(str.strip, lines), start=1):
        try:
            pairs = _pairs(line)
        except ValueError as error:
            raise RowMalformed(f"{where}, row {number} {error}") from None
        found_names, values = zip(*pairs, strict=True) if pairs else ((), ())
        if found_names == expected:
            yield list(values)
            continue
        found = dict(pairs)
        if len(found) < len(pairs):
            raise RowMalformed(f"{where}, row {number} has a key twice")
        if found.keys() != set(expected):
            _other_keys(found.keys() - set(expected), set(expected) - found.keys(), f"{where}, row {number}")
        yield [found[name] for name in expected]


def _other_keys(extra: set[str], absent: set[str], where: str) -> Never:
    what = [
        f"{problem} {', '.join(repr(name[:_SHOWN]) for name in sorted(some)[:_LISTED])}"
        for problem, some in (("lacks", absent), ("has", extra))
        if some
    ]
    raise RowMalformed(f"{where} {' and '.join(what)}, unlike row 1: all rows have the same keys, and null is missing")


def _pairs(line: str) -> Pairs:
    """The object on a line as pairs, so that repeated keys are seen; one inside it is a tuple too.

    Raises ValueError with what is wrong, without a subject.
    """
    try:
        found = json.loads(line, object_pairs_hook=tuple, parse_constant=_no_constant)
    except _NotJson:
        raise
    except (ValueError, RecursionError):
        raise _NotJson("is not a JSON object on a line of its own") from None
    # An empty object is an empty tuple, and a text or a list is none.
    if not isinstance(found, tuple):
        raise _NotJson("is not a JSON object on a line of its own")
    return found


class _NotJson(ValueError):
    """A line is not an object of JSON."""


def _no_constant(name: str) -> Never:
    raise _NotJson(f"has {name}, which is not JSON; null is missing")
