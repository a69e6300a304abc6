"""Reads a file of encounters row by row: CSV or JSON lines, plain, gzip or zip, and Parquet.

Memory does not grow with the file. A row is the document of an encounter, as a request has it, or why it cannot be
read; a file that cannot be read to its end is refused as a whole.
"""

import csv
import io
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import IO, Any, Final

from readmission.domain.contract import TESTS
from readmission.domain.file_formats import NOT_UTF8
from readmission.errors import ColumnsMismatch, RowMalformed, SourceLimitExceeded, SourceMalformed
from readmission.http import bodies
from readmission.http.problems import Refused
from readmission.pipeline.parquet_file import NUMBERS_AND_TEXTS, ParquetFile
from readmission.pipeline.table_file import (
    MAX_EXPANSION,
    TOO_MUCH,
    head_of,
    is_parquet,
    open_table,
    readable,
    starts_object,
)
from readmission.serving import batch
from readmission.serving.batch import Row

_LONGEST_LINE: Final = 1 << 16  # in characters; an encounter has a few thousand

type Numbered = tuple[int, Row]
"""A row's number, from 1, and what it holds."""


def read(file: IO[bytes], name: str, max_bytes: int) -> Generator[Numbered]:
    """The rows of the table in the file, which must be seekable and stay open until they are read.

    `name` names the file in errors. `max_bytes` is the largest size of the file, from which the largest size of the
    table follows. Raises `SourceMalformed`, `SourceLimitExceeded`, `ColumnsMismatch` and `RowMalformed`.
    """
    most = max_bytes * MAX_EXPANSION
    if is_parquet(file):
        yield from _parquet(file, name, most)
    else:
        raw, where = open_table(file, name, partial(_check_beginning, most))
        yield from _text(raw, where, most)


def _check_beginning(most: int, raw: IO[bytes], _: str, where: str) -> None:
    """Raises `ColumnsMismatch` or `SourceMalformed` unless encounters begin here."""
    with closing(_text(raw, where, most)) as rows:
        next(rows, None)


def _text(raw: IO[bytes], where: str, most: int) -> Generator[Numbered]:
    """The rows of a text in UTF-8."""
    number = 0
    is_json = starts_object(head_of(raw, where))
    with io.TextIOWrapper(raw, "utf-8-sig", newline="") as text, readable(where, lambda: number):
        lines = _lines(text, where, most)
        try:
            for number, row in enumerate(_json_lines(lines) if is_json else _csv(lines, where), start=1):
                yield number, row
        except UnicodeDecodeError as error:
            raise SourceMalformed(f"{where} {NOT_UTF8}") from error


def _lines(text: IO[str], where: str, most: int) -> Iterator[str]:
    number = total = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        total += len(line)
        if len(line) > _LONGEST_LINE:
            raise RowMalformed(f"{where}, line {number} has more than {_LONGEST_LINE} characters")
        if total > most:
            raise SourceLimitExceeded(f"{where} {TOO_MUCH}")
        yield line


def _csv(lines: Iterable[str], where: str) -> Generator[Row]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, None)
    if header is None:
        raise SourceMalformed(f"{where} is empty")
    row_of = _begin(header, where)
    for cells in reader:
        if cells:  # many programs write an empty line at the end
            yield row_of(cells)


def _begin(header: list[str], where: str) -> Any:
    try:
        return batch.begin(header)
    except Refused as refused:
        reasons = "; ".join(f"{error.field} {error.message}" for error in refused.errors)
        raise ColumnsMismatch(f"{where}: {refused.detail}: {reasons}") from None


def _json_lines(lines: Iterable[str]) -> Generator[Row]:
    for line in filter(str.strip, lines):
        try:
            yield bodies.json_of(line)
        except Refused as refused:
            yield refused


def _parquet(file: IO[bytes], where: str, most: int) -> Generator[Numbered]:
    table = ParquetFile(file, where, most)
    if wrong := table.others(NUMBERS_AND_TEXTS):
        raise ColumnsMismatch(f"{where}: these columns have neither numbers nor texts: {', '.join(map(repr, wrong))}")
    _begin(table.columns, where)
    for number, row in enumerate(table.rows(table.columns), start=1):
        cells = zip(table.columns, map(_value, row), strict=True)
        yield number, {name: value for name, value in cells if value is not None or name in TESTS}


def _value(value: Any) -> Any:
    """A cell as JSON has it. pandas makes floats of whole numbers where one is missing, and NaN of that one."""
    if isinstance(value, float):
        if value != value:
            return None
        if value.is_integer():
            return int(value)
    return value
