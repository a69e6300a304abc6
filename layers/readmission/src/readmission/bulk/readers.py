"""Reads a file of encounters row by row: CSV or JSON lines, plain, gzip or zip, and Parquet.

Memory does not grow with the file. A row is the document of an encounter, as a request has it, or why it cannot be
read; a file that cannot be read to its end is refused as a whole.
"""

import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from readmission.domain.contract import TESTS
from readmission.domain.file_formats import NOT_UTF8, format_of, not_csv, office_format
from readmission.errors import ColumnsMismatch, RowMalformed, SourceMalformed
from readmission.http import bodies
from readmission.http.problems import Refused
from readmission.serving import batch
from readmission.serving.batch import Row

_LONGEST_LINE: Final = 1 << 16  # in characters; an encounter has a few thousand
# A table may be this large: larger than any that fits into the limits of a job.
_MOST_CHARACTERS: Final = 40_000_000_000
_PARQUET: Final = b"PAR1"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP: Final = b"\x1f\x8b"
_PARQUET_ROWS: Final = 1_000
_PARQUET_BUFFER: Final = 1 << 20
# pandas writes its row numbers to a column of such a name.
_INDEX: Final = "__index_level_"
# Raised by zipfile and gzip for corrupt, encrypted or unsupported archives.
_ARCHIVE_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_ENDINGS: Final = (".csv", ".jsonl", ".ndjson")

type Numbered = tuple[int, Row]
"""A row's number, from 1, and what it holds."""


def read(file: IO[bytes], name: str) -> Generator[Numbered]:
    """The rows of the table in the file, which must be seekable and stay open until they are read.

    `name` names the file in errors. Raises `SourceMalformed`, `ColumnsMismatch` and `RowMalformed`.
    """
    head = file.read(200)
    file.seek(0)
    if head.startswith(_PARQUET):
        yield from _parquet(file, name)
    elif head.startswith(_ZIP):
        with _archive(name), zipfile.ZipFile(file) as archive:
            member, where = _member(archive, name)
            with archive.open(member) as raw:
                yield from _text(raw, where)
    elif head.startswith(_GZIP):
        with _archive(name), gzip.GzipFile(fileobj=file) as raw:
            yield from _text(cast(IO[bytes], raw), name)
    else:
        yield from _text(file, name)


@contextmanager
def _archive(name: str) -> Iterator[None]:
    try:
        yield
    except _ARCHIVE_ERRORS as error:
        raise SourceMalformed(f"{name} is a corrupt or encrypted archive") from error


def _member(archive: zipfile.ZipFile, name: str) -> tuple[str, str]:
    """The archive's file with encounters: the only table or, of several, the largest whose columns are ours."""
    if office := office_format(archive.NameToInfo):
        raise SourceMalformed(f"{name} {not_csv(office)}")
    tables = [one for one in archive.infolist() if one.filename.lower().endswith(_ENDINGS)]
    tables.sort(key=lambda one: -one.file_size)
    if not tables:
        raise SourceMalformed(f"{name} does not contain a CSV or JSON lines file")
    wrong: ColumnsMismatch | SourceMalformed | None = None
    for one in tables:
        with archive.open(one) as raw:
            try:
                with closing(_text(raw, name)) as rows:
                    next(rows, None)
            except (ColumnsMismatch, SourceMalformed) as error:
                wrong = wrong or error
            else:
                return one.filename, f"{name} (the file of {one.file_size} bytes in it)"
    assert wrong is not None
    raise wrong


def _text(raw: IO[bytes], where: str) -> Generator[Numbered]:
    """The rows of a text in UTF-8."""
    buffered = cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, raw)))
    head = cast(io.BufferedReader, buffered).peek(200)[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
    found = format_of(head)
    if found and found != "JSON":
        raise SourceMalformed(f"{where} {not_csv(found)}")
    if head.startswith(b"["):
        raise SourceMalformed(f"{where} is one JSON array; write each encounter as an object on a line of its own")
    with io.TextIOWrapper(buffered, "utf-8-sig", newline="") as text:
        lines = _lines(text, where)
        try:
            yield from _json_lines(lines) if head.startswith(b"{") else _csv(lines, where)
        except UnicodeDecodeError as error:
            raise SourceMalformed(f"{where} {NOT_UTF8}") from error


def _lines(text: IO[str], where: str) -> Iterator[str]:
    number = total = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        total += len(line)
        if len(line) > _LONGEST_LINE:
            raise RowMalformed(f"{where}, line {number} has more than {_LONGEST_LINE} characters")
        if total > _MOST_CHARACTERS:
            raise SourceMalformed(f"{where} has more than {_MOST_CHARACTERS} characters")
        yield line


def _csv(lines: Iterable[str], where: str) -> Generator[Numbered]:
    reader = csv.reader(lines, strict=True)
    number = 0
    try:
        header = next(reader, None)
        if header is None:
            raise SourceMalformed(f"{where} is empty")
        row_of = _begin(header, where)
        for cells in reader:
            if cells:  # many programs write an empty line at the end
                number += 1
                yield number, row_of(cells)
    except csv.Error as error:
        raise SourceMalformed(f"{where}, after row {number}: {error}") from error


def _begin(header: list[str], where: str) -> Any:
    try:
        return batch.begin(header)
    except Refused as refused:
        reasons = "; ".join(f"{error.field} {error.message}" for error in refused.errors)
        raise ColumnsMismatch(f"{where}: {refused.detail}: {reasons}") from None


def _json_lines(lines: Iterable[str]) -> Generator[Numbered]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        try:
            document = bodies.json_of(line)
        except Refused as refused:
            yield number, refused
        else:
            yield number, document


def _parquet(file: IO[bytes], where: str) -> Generator[Numbered]:
    try:
        # Page by page: a file may be one group of rows.
        table = pq.ParquetFile(file, pre_buffer=False, buffer_size=_PARQUET_BUFFER)
        names = [name for name in table.schema_arrow.names if not name.startswith(_INDEX)]
        _check_types(table.schema_arrow, names, where)
        _begin(names, where)
        number = 0
        for part in table.iter_batches(_PARQUET_ROWS, columns=names):
            for row in part.to_pylist():
                number += 1
                cells = {name: _value(value) for name, value in row.items()}
                yield number, {name: value for name, value in cells.items() if value is not None or name in TESTS}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        # Its text may repeat a value.
        raise SourceMalformed(f"{where} is a corrupt Parquet file ({type(error).__name__})") from None


def _check_types(schema: pa.Schema, names: list[str], where: str) -> None:
    """Raises `ColumnsMismatch` for a column of another type than numbers and texts."""
    wrong = [name for name in names if not _is_plain(schema.field(name).type)]
    if wrong:
        raise ColumnsMismatch(f"{where}: these columns have neither numbers nor texts: {', '.join(map(repr, wrong))}")


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    of = pa.types
    return bool(
        of.is_integer(kind)
        or of.is_floating(kind)
        or of.is_string(kind)
        or of.is_large_string(kind)
        or of.is_string_view(kind)
        or of.is_null(kind)
        or of.is_boolean(kind)  # which no field takes: the rows are refused
    )


def _value(value: Any) -> Any:
    """A cell as JSON has it. pandas makes floats of whole numbers where one is missing, and NaN of that one."""
    if isinstance(value, float):
        if value != value:
            return None
        if value.is_integer():
            return int(value)
    return value
