"""Opens the file that a table is in: plain, gzip or zip. Deliveries and files to score are opened alike.

What a file is shows in its content, not in its name. Memory does not grow with the file.
"""

import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, cast

from readmission.domain.file_formats import format_of, not_csv, office_format
from readmission.errors import ColumnsMismatch, SourceMalformed
from readmission.pipeline import json_lines

MAX_EXPANSION: Final = 10
"""A table may be this many times larger than the file may be; the UCI archive expands six times."""
TOO_MUCH: Final = f"has more text than {MAX_EXPANSION} times MaxSourceMegabytes"
# `zipfile` reads the whole list of files into memory. This is enough for tens of thousands.
_MAX_DIRECTORY: Final = 1 << 22
_PARQUET: Final = b"PAR1"
_TABLES: Final = (".csv", *json_lines.ENDINGS)
# Raised by zipfile and gzip for corrupt, encrypted or unsupported archives; bz2 has no exception of its own.
_ARCHIVE_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)

type Fits = Callable[[IO[bytes], str, str], object]
"""Raises `ColumnsMismatch` or `SourceMalformed` unless a member of an archive, of that name, is the table.

The last argument names the member in errors.
"""


def is_parquet(file: IO[bytes]) -> bool:
    """Whether a file that is at its beginning is Parquet."""
    head = file.read(len(_PARQUET))
    file.seek(0)
    return head == _PARQUET


def starts_object(head: bytes) -> bool:
    """Whether a text begins like an object of JSON, as no header of a CSV does."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and not head.startswith(b"{\\rtf")


def open_table(file: IO[bytes], source: str, fits: Fits) -> tuple[IO[bytes], str]:
    """The bytes of the table in the file, and its name for errors, in which `source` names the file.

    Raises `SourceMalformed`, and what `fits` raises if no table of an archive is the one.
    """
    head = file.read(200)
    file.seek(0)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):  # the second is an empty archive
        try:
            return _in_archive(zipfile.ZipFile(cast(IO[bytes], _SmallReads(file, source))), source, fits)
        except _ARCHIVE_ERRORS as error:
            raise SourceMalformed(f"{source} is a corrupt archive{_detail(error)}") from error
    if head[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file)), source
    return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, file))), source


def head_of(raw: IO[bytes], where: str) -> bytes:
    """The first bytes of the table, which stay unread.

    Raises `SourceMalformed` for another format than CSV and JSON lines.
    """
    with readable(where, lambda: 0):
        head = cast(io.BufferedReader, raw).peek(200)[:200]
    found = format_of(head)
    if found is None or starts_object(head):
        return head
    if found == "Parquet":
        raise SourceMalformed(f"{where} is Parquet in gzip; deliver the Parquet file, which is compressed in itself")
    if found == "JSON":
        raise SourceMalformed(f"{where} is one JSON array; write each row as an object on a line of its own")
    raise SourceMalformed(f"{where} {not_csv(found)}")


@contextmanager
def readable(where: str, number: Callable[[], int]) -> Iterator[None]:
    """What Python raises for a file that cannot be read becomes `SourceMalformed`, after the row of that number."""
    try:
        yield
    except csv.Error as error:
        raise SourceMalformed(f"{where}, after row {number()}: {error}") from error
    except _ARCHIVE_ERRORS as error:
        raise SourceMalformed(f"{where}, after row {number()}: the archive is corrupt{_detail(error)}") from error


class _SmallReads:
    """A file for `zipfile`, which reads the list of files at once, and everything else in small pieces."""

    def __init__(self, file: IO[bytes], source: str) -> None:
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable
        self._file = file
        self._source = source

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY:
            raise SourceMalformed(f"{self._source} is an archive of too many files; their list has {size} bytes")
        return self._file.read(size)


def _in_archive(archive: zipfile.ZipFile, source: str, fits: Fits) -> tuple[IO[bytes], str]:
    """The largest of the archive's tables that fits. UCI's zip also contains a table of ids."""
    if office := office_format(archive.NameToInfo):
        raise SourceMalformed(f"{source} {not_csv(office)}")
    tables = [name for name in archive.namelist() if name.lower().endswith(_TABLES)]
    wrong: ColumnsMismatch | SourceMalformed | None = None
    for name in sorted(tables, key=lambda name: archive.getinfo(name).file_size, reverse=True):
        where = f"{source} ({_shown(name)})"
        try:
            with archive.open(name) as raw:
                fits(raw, name, where)
        except (ColumnsMismatch, SourceMalformed) as error:
            wrong = wrong or error
        else:
            return archive.open(name), where
    if wrong:
        raise wrong
    raise SourceMalformed(
        f"{source} does not contain a CSV file or JSON lines; it contains {len(archive.namelist())} others"
    )


def _shown(member: str) -> str:
    """The name of an archive's member, made safe for a message."""
    return "".join(character if character.isprintable() else "?" for character in member[-60:])


def _detail(error: Exception) -> str:
    """What kind of corruption it is. The messages of `zipfile` repeat names in the archive."""
    if isinstance(error, NotImplementedError):
        return " or compressed in a way that is not supported"
    if isinstance(error, RuntimeError):
        return " or encrypted"
    return ""
