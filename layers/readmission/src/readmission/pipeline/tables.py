"""Reads the rows of a delivered file: CSV or JSON lines, plain, gzip or zip, or Parquet.

Memory does not grow with the file or its lines.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Final

from readmission.domain.contract import COLUMNS, OPTIONAL_COLUMNS, column_order
from readmission.domain.file_formats import NOT_UTF8, separator_of, wrong_separator
from readmission.errors import RowMalformed, SourceLimitExceeded, SourceMalformed
from readmission.pipeline import json_lines, typed_values
from readmission.pipeline.mapping import SourceMapping
from readmission.pipeline.table_file import (
    MAX_EXPANSION,
    TOO_MUCH,
    head_of,
    is_parquet,
    open_table,
    readable,
    starts_object,
)

# In characters. A row of the table has a few hundred, and *plan* holds a batch of rows in memory. The first line may be
# longer, so that the error can say how many columns it has.
_MAX_ROW: Final = 1 << 13
_MAX_HEADER: Final = 1 << 20
_MAX_JSON_ROW: Final = 8 * _MAX_ROW  # with the names of the columns
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SHOWN: Final = 40  # characters of a name in an error


class Rows(Iterator[list[str]]):
    """Rows with the contract's fields in order, followed by those of the optional columns that they have.

    `optional` names these columns, once the first row has been read.
    """

    def __init__(self, rows: Generator[list[str]], optional: Sequence[str] = ()) -> None:
        self.optional = optional
        self._rows = rows
        self.close = rows.close

    def __next__(self) -> list[str]:
        return next(self._rows)


def read(file: IO[bytes], source: str, max_bytes: int, mapping: SourceMapping | None = None) -> Rows:
    """The rows of the table in the file, which must stay open until they are read; `mapping` says how they are made.

    `source` names the file in errors. `max_bytes` is the largest size of the file, from which the largest size of the
    table follows.

    Raises `SourceMalformed`, `SourceLimitExceeded`, `ColumnsMismatch` and `RowMalformed`.
    """
    optional: list[str] = []
    return Rows(_read(file, source, max_bytes * MAX_EXPANSION, mapping, optional), optional)


def _read(
    file: IO[bytes], source: str, most: int, mapping: SourceMapping | None, optional: list[str]
) -> Generator[list[str]]:
    if is_parquet(file):
        yield from _parquet(file, source, most, mapping, optional)
        return

    def fits(raw: IO[bytes], name: str, where: str) -> None:
        _arranged(_header(raw, name, where, mapping), where, mapping)

    raw, where = open_table(file, source, fits)
    if starts_object(head_of(raw, where)):
        with io.TextIOWrapper(raw, "utf-8-sig", newline="\n") as text:
            yield from _json(_Lines(text, _MAX_JSON_ROW), where, most, mapping, optional)
    else:
        with io.TextIOWrapper(raw, _encoding(mapping), newline="") as text:
            yield from _rows(_Lines(text), where, most, mapping, optional)


def columns(file: IO[bytes], source: str, max_bytes: int) -> list[str] | None:
    """The columns of a file of JSON lines or Parquet; None for what is neither. The file is at its beginning again.

    Raises as `read` does.
    """
    if is_parquet(file):
        from readmission.pipeline.parquet_file import ParquetFile

        names = ParquetFile(file, source, max_bytes * MAX_EXPANSION).columns
        file.seek(0)
        return names
    head = file.read(_MAX_HEADER).removeprefix(b"\xef\xbb\xbf")
    file.seek(0)
    if not starts_object(head):
        return None
    return json_lines.keys(head.lstrip().partition(b"\n")[0].decode("utf-8", errors="replace"), source)


class _TooLong(Exception):
    """A row has more characters than the limit."""


class _Lines:
    """The lines of a text, as `csv.reader` takes them. `row_ended` must be called after each row.

    Raises `_TooLong`; no more than a limit's characters are read of a row, whether it is one line or many.
    """

    def __init__(self, text: IO[str], most: int = _MAX_ROW) -> None:
        self._read = text.readline
        self._row = 0
        self._most = most
        self.limit = _MAX_HEADER
        self.total = 0
        self.has_nul = False

    def __iter__(self) -> Iterator[str]:
        while line := self._read(self.limit + 1):
            self._row += len(line)
            if self._row > self.limit:
                raise _TooLong
            if "\0" in line:
                self.has_nul = True
            yield line

    def row_ended(self) -> None:
        self.total += self._row
        self._row = 0
        self.limit = self._most


def _encoding(mapping: SourceMapping | None) -> str:
    """The file's encoding, with which a mark of UTF-8 at its beginning is skipped."""
    return "utf-8-sig" if mapping is None or mapping.encoding == "utf-8" else mapping.encoding


def _header(raw: IO[bytes], name: str, where: str, mapping: SourceMapping | None) -> list[str]:
    """The columns of an archive's member. Raises `SourceMalformed` if it is neither CSV nor JSON lines."""
    if name.lower().endswith(json_lines.ENDINGS):
        return json_lines.keys(raw.readline(_MAX_JSON_ROW).decode("utf-8-sig", errors="replace"), where)
    with io.TextIOWrapper(raw, _encoding(mapping), errors="replace", newline="") as text:
        try:
            return next(csv.reader(_Lines(text), delimiter=_delimiter(mapping)), [])
        except csv.Error as error:
            raise SourceMalformed(f"{where}: {error}") from error
        except _TooLong:
            raise SourceMalformed(f"{where} {_long_header()}") from None


def _delimiter(mapping: SourceMapping | None) -> str:
    return mapping.delimiter if mapping else ","


def _arranged(
    header: Sequence[str], where: str, mapping: SourceMapping | None
) -> Callable[[Sequence[str]], list[str]] | None:
    """What makes the contract's row of a row under this header; None for rows that are such rows.

    Raises `SourceMalformed` and `ColumnsMismatch`.
    """
    if mapping:
        return mapping.bind(header, where)
    _check_separator(header, where)
    order = column_order(header, where)
    if order == list(range(len(header))):
        return None
    return lambda row: [row[index] for index in order]


def _check_separator(header: Sequence[str], where: str) -> None:
    if len(header) < len(COLUMNS) and (separator := separator_of(header, COLUMNS)):
        raise SourceMalformed(f"{where} {wrong_separator(separator)}")


def _long_header() -> str:
    return f"starts with a line of more than {_MAX_HEADER} characters"


def _rows(
    lines: _Lines, where: str, most: int, mapping: SourceMapping | None, optional: list[str]
) -> Iterator[list[str]]:
    """The rows below the header, whose optional columns are added to `optional`.

    `most` is the largest number of characters of all rows together.
    """
    number = 0
    header: list[str] | None = None
    try:
        with readable(where, lambda: number):
            header = next(csv.reader(lines, delimiter=_delimiter(mapping), strict=True), None)
            if header is None:
                raise SourceMalformed(f"{where} is empty")
            lines.row_ended()
            arranged = _arranged(header, where, mapping)
            optional += _optional(header, mapping)
            for row in _parsed(lines, _delimiter(mapping)):
                number += 1
                if len(row) != len(header) or lines.has_nul:
                    raise RowMalformed(f"{where}, row {number} {_malformed(row, len(header))}")
                if lines.total > most:
                    raise SourceLimitExceeded(f"{where} {TOO_MUCH}")
                yield arranged(row) if arranged else row
    except UnicodeDecodeError as error:
        raise SourceMalformed(f"{where}, after row {number}: the text {_not_decoded(mapping)}") from error
    except _TooLong:
        if header is None:
            raise SourceMalformed(f"{where} {_long_header()}") from None
        raise RowMalformed(f"{where}, row {number + 1} has more than {_MAX_ROW} characters") from None


def _optional(header: Sequence[str], mapping: SourceMapping | None) -> list[str]:
    return mapping.optional(header) if mapping else [name for name in OPTIONAL_COLUMNS if name in header]


def _json(
    lines: _Lines, where: str, most: int, mapping: SourceMapping | None, optional: list[str]
) -> Iterator[list[str]]:
    """The rows of JSON lines, as `_rows` gives those of a CSV."""
    number = 0

    def each() -> Iterator[str]:
        for line in lines:
            lines.row_ended()
            yield line

    try:
        with readable(where, lambda: number):
            text = each()
            first = next(filter(str.strip, text))
            header = json_lines.keys(first, where)
            values = json_lines.rows(chain((first,), text), header, where)
            for row in _typed(values, header, where, most, mapping, optional):
                number += 1
                yield row
    except UnicodeDecodeError as error:
        message = f"{where}, after row {number}: the text is not UTF-8, in which JSON is written"
        raise SourceMalformed(message) from error
    except _TooLong:
        raise RowMalformed(f"{where}, row {number + 1} has more than {_MAX_JSON_ROW} characters") from None


def _parquet(
    file: IO[bytes], where: str, most: int, mapping: SourceMapping | None, optional: list[str]
) -> Iterator[list[str]]:
    """The rows of a Parquet file, as `_rows` gives those of a CSV."""
    # Of what reads deliveries, most never see Parquet, and importing pyarrow takes longer than all else here.
    from readmission.pipeline.parquet_file import ParquetFile

    table = ParquetFile(file, where, most)
    _arranged(table.columns, where, mapping)
    needed = list(dict.fromkeys(name for name in table.columns if name.strip() in _needed(table.columns, mapping)))
    places = {name: place for place, name in enumerate(needed)}
    wide = ([row[places[name]] if name in places else None for name in table.columns] for row in table.rows(needed))
    yield from _typed(wide, table.columns, where, most, mapping, optional)


def _needed(header: Sequence[str], mapping: SourceMapping | None) -> Collection[str]:
    return typed_values.readers(header, mapping).keys()


def _typed(
    rows: Iterable[Sequence[object]],
    header: Sequence[str],
    where: str,
    most: int,
    mapping: SourceMapping | None,
    optional: list[str],
) -> Iterator[list[str]]:
    """The rows of typed values, as `_rows` gives those of a CSV."""
    arranged = _arranged(header, where, mapping)
    optional += _optional(header, mapping)
    readers = typed_values.readers(header, mapping)
    each = [readers.get(name.strip(), _not_needed) for name in header]
    total = 0
    for number, values in enumerate(rows, start=1):
        try:
            # Most values are texts, which stay as they are.
            cells = [
                value if type(value) is str and reader is not _not_needed else reader(value)
                for value, reader in zip(values, each, strict=True)
            ]
        except typed_values.Refused:
            raise RowMalformed(f"{where}, row {number}, {_refusal(values, header, each)}") from None
        joined = "".join(cells)
        total += len(joined)
        if len(joined) > _MAX_ROW:
            raise RowMalformed(f"{where}, row {number} has more than {_MAX_ROW} characters")
        if not _storable(joined):
            raise RowMalformed(f"{where}, row {number} {_malformed(cells, len(cells))}")
        if total > most:
            raise SourceLimitExceeded(f"{where} {TOO_MUCH}")
        yield arranged(cells) if arranged else cells


def _not_needed(_: object) -> str:
    return ""


def _refusal(values: Sequence[object], header: Sequence[str], readers: Sequence[typed_values.Reader]) -> str:
    """The first column whose value is refused, and why."""
    for value, name, reader in zip(values, header, readers, strict=True):
        try:
            reader(value)
        except typed_values.Refused as error:
            return f"column {name[:_SHOWN]!r} {error}"
    raise AssertionError("no value is refused")


def _storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not _SURROGATE.search(text))


def _not_decoded(mapping: SourceMapping | None) -> str:
    if mapping is None:
        return f"{NOT_UTF8}, or name its encoding in a mapping"
    return f"is not {mapping.encoding}, the encoding that the mapping names"


def _parsed(lines: _Lines, delimiter: str) -> Iterator[list[str]]:
    """The rows as `csv.reader` parses them, without blank lines: many programs write one at the end of a file.

    Most lines have no quotes, and splitting those takes a third of the time of `csv.reader`.
    """
    source = iter(lines)
    for line in source:
        if '"' in line:
            row = next(csv.reader(chain((line,), source), delimiter=delimiter, strict=True))
        else:
            row = text.split(delimiter) if (text := line.rstrip("\r\n")) else []
        lines.row_ended()
        if row:
            yield row


def _malformed(row: Sequence[str], columns: int) -> str:
    if len(row) != columns:
        return f"has {len(row)} fields, not {columns}"
    if not any("\0" in cell for cell in row) and any(map(_SURROGATE.search, row)):
        return "contains half of a surrogate pair, which is not a character"
    return "contains a NUL character, which Postgres cannot store"
