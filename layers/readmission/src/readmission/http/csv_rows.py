"""The rows of a CSV that a request has as its body. Errors name columns, and never repeat a cell."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from readmission.domain.file_formats import separator_of, wrong_separator
from readmission.http.bodies import MAX_ROWS
from readmission.http.problems import FieldError, Refused, printable_name

_STATUS: Final = 422


def read[T](
    text: str, begin: Callable[[list[str]], Callable[[list[str]], T]], too_many: Callable[[], Refused]
) -> list[T]:
    """What the function that `begin` makes of the header returns for the cells of each row; empty lines are left out.

    Raises `Refused` (422) if the CSV is invalid, `too_many()` for more than `MAX_ROWS` rows, and what these raise.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[T] = []
    try:
        row_of = begin(next(lines, []))
        for cells in lines:
            if len(rows) == MAX_ROWS and cells:
                raise too_many()
            if cells:
                rows.append(row_of(cells))
    except csv.Error as error:
        what = f"is not valid CSV: {error} in line {lines.line_num}"
        body_error = FieldError("body", what, "invalid_csv", {"line": lines.line_num})
        raise Refused(_STATUS, f"The body {what}", [body_error]) from None
    return rows


def check_names(header: Sequence[str], known: Collection[str], *, least: int, most: int) -> None:
    """Raise `Refused` (422) if the first line does not have `known` names, separated by commas.

    A header has at least `least` columns, and at most `most` are read.
    """
    if len(header) < least and (separator := separator_of(header[:most], known)):
        what = wrong_separator(separator)
        params = {"separator": ["TAB" if separator == "\t" else separator]}
        raise Refused(_STATUS, f"The CSV {what}", [FieldError("body", what, "wrong_separator", params)])
    if not any(name in known for name in header):
        # The cells are not repeated in the message: if the header is missing, they are a patient's values.
        error = FieldError("body", "does not start with a header of field names", "no_header")
        raise Refused(_STATUS, "The first line must contain the field names", [error])
    if len(header) > most:
        error = FieldError("body", "has too many columns", "too_many_columns")
        raise Refused(_STATUS, "The header has too many columns", [error])


def wrong_columns(header: Sequence[str], allowed: Collection[str], required: Iterable[str]) -> list[FieldError]:
    """An error for each column that is unknown, repeated or missing."""
    unknown = [name for name in header if name not in allowed]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    missing = [name for name in required if name not in header]
    return [
        *(FieldError(printable_name(name), "is not a column of this format", "unknown_column") for name in unknown),
        *(FieldError(printable_name(name), "appears more than once", "repeated_column") for name in repeated),
        *(FieldError(name, "is a missing column", "missing_column") for name in missing),
    ]


def invalid_header(errors: Iterable[FieldError]) -> Refused:
    """The answer to a header with these errors."""
    return Refused(_STATUS, "The header is invalid", errors)


def wrong_length(cells: Sequence[str], header: Sequence[str], what: str) -> Refused:
    """The problem of a row with more or fewer cells than the header; `what` is what a row describes."""
    text = f"has {len(cells)} cells, but the header has {len(header)}"
    counts = {"cells": len(cells), "columns": len(header)}
    return Refused(_STATUS, f"The row {text}", [FieldError(what, text, "cell_count", counts)])
