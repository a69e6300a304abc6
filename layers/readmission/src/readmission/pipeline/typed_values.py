"""The values of JSON lines and Parquet as the texts of a CSV, by what a column is needed for.

A value that a CSV could hold in two ways is refused, not chosen: as a number, the codes 250.1 and 250.10 are the same.
"""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from readmission.domain.contract import COLUMNS, NAMES, NOT_MEASURED, TESTS, IntegerRange
from readmission.pipeline.mapped_fields import UNKNOWN, Copied, Years
from readmission.pipeline.mapping import SourceMapping

type Reader = Callable[[object], str]

# From here on, floating-point numbers leave out whole numbers.
_EXACT_BELOW: Final = 2**53


class Refused(Exception):
    """A value that has no one text; the message says why, without a subject."""


def readers(header: Sequence[str], mapping: SourceMapping | None) -> dict[str, Reader]:
    """What makes a text of a value, by the column, for all columns that are needed. Raises `Refused` when called.

    The contract's own columns have a text for unknown values, which stands for null. A mapping has its own rules for
    empty cells, so there null is one.
    """
    if mapping is None:
        return {
            name: _reader(_is_number(name), NOT_MEASURED if name in TESTS else UNKNOWN.get(name, "")) for name in header
        }
    numeric: dict[str, bool] = {}
    for name, field in mapping.made(header).items():
        for column in field.columns:
            number = isinstance(field, Years) or (isinstance(field, Copied) and _is_number(name))
            numeric[column] = numeric.get(column, True) and number
    return {column: _reader(number, "") for column, number in numeric.items()}


def _is_number(name: str) -> bool:
    return name in NAMES and isinstance(COLUMNS[name], IntegerRange)


def _reader(numeric: bool, missing: str) -> Reader:
    def read(value: object) -> str:
        if isinstance(value, str):
            return value
        if type(value) is int:
            return str(value)
        return missing if value is None else _text(value, numeric)

    return read


def _text(value: object, numeric: bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() | Decimal():
            return _number(value, numeric)
        case date():
            return value.isoformat()
    raise Refused("has a list or an object; only texts, numbers, true, false and null are read")


def _number(value: float | Decimal, numeric: bool) -> str:
    """The text of a number with a fraction or an exponent; a whole one is 5 for 5.0 where numbers are needed."""
    finite = value == value and abs(value) != float("inf")
    if not finite:
        raise Refused(f"is {value}, which is not a number; null is missing")
    whole = value == int(value)
    if isinstance(value, float) and whole and abs(value) >= _EXACT_BELOW:
        raise Refused(f"is {value!r}, a floating-point number that is too large to be exact; write a whole number")
    if numeric:
        return str(int(value)) if whole else str(value)
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return str(value)
    raise Refused(
        f"is the number {value}, and a text is needed: as numbers, 250, 250.0 and 250.00 are the same; write texts"
    )
