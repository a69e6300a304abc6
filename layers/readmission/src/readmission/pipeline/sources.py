"""Reads a data source row by row in constant memory: a zip, gzip or CSV file at a URL or S3 key."""

import csv
import gzip
import io
import lzma
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Final, cast

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from readmission.domain.contract import column_order
from readmission.domain.payloads import DataKind
from readmission.errors import (
    ColumnsMismatch,
    InvalidRequest,
    RowMalformed,
    SourceMalformed,
    SourceNotFound,
    SourceUnavailable,
)
from readmission.pipeline import synthetic

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TIMEOUT_SECONDS: Final = 30
_CHUNK: Final = 1 << 20
_DEFAULT_SYNTHETIC: Final = {"rows": 20_000, "seed": 1}
_MAX_SYNTHETIC_ROWS: Final = 100_000_000
_MAX_DIGITS: Final = 18
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


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A synthetic source: the number of rows and the seed."""

    rows: int
    seed: int


def parse_synthetic(source: str) -> Synthetic | None:
    """Parse `synthetic[:rows=N][,seed=N]`; None if `source` is not synthetic.

    Raises `InvalidRequest` for an unknown or invalid option.
    """
    name, _, options = source.partition(":")
    if name != "synthetic":
        return None
    values = dict(_DEFAULT_SYNTHETIC)
    for option in filter(None, options.split(",")):
        key, _, text = option.partition("=")
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else -1
        if key not in values or number < 0 or (key == "rows" and not 1 <= number <= _MAX_SYNTHETIC_ROWS):
            raise InvalidRequest(
                f"input field 'source': invalid option {option!r} in {source!r}; a synthetic source is"
                f" synthetic[:rows=N][,seed=N] with 1 to {_MAX_SYNTHETIC_ROWS} rows"
            )
        values[key] = number
    return Synthetic(**values)


def data_kind(source: str) -> DataKind:
    """Whether a source contains real or synthetic encounters."""
    return "synthetic" if parse_synthetic(source) else "real"


@contextmanager
def open_rows(source: str, s3: "S3Client") -> Iterator[Iterator[list[str]]]:
    """Open `source` and iterate over its rows of 50 fields, always in the contract's order.

    The file is downloaded to disk first, because a zip's directory is at its end. This also detects an interrupted
    transfer before the first row is used.

    Raises `InvalidRequest`, `SourceNotFound`, `SourceUnavailable`, `SourceMalformed`, `ColumnsMismatch` and
    `RowMalformed`. Messages name the source and, if there is one, the row. Row 1 is the first row after the header.
    """
    if generated := parse_synthetic(source):
        yield synthetic.rows(generated.rows, generated.seed)
        return
    with tempfile.TemporaryFile() as spool:
        _fetch(source, s3, spool)
        text, where = _open_table(spool, source)
        with text:
            yield _read(text, where)


def _fetch(source: str, s3: "S3Client", spool: IO[bytes]) -> None:
    scheme, _, rest = source.partition("://")
    if scheme in ("http", "https"):
        _fetch_url(source, spool)
    elif scheme == "s3" and all(rest.partition("/")):
        bucket, _, key = rest.partition("/")
        _fetch_object(source, bucket, key, s3, spool)
    else:
        raise InvalidRequest(
            f"input field 'source': {source!r} must be one of https://…, http://…, s3://bucket/key, synthetic"
        )
    spool.seek(0)


def _fetch_url(source: str, spool: IO[bytes]) -> None:
    request = urllib.request.Request(source, headers={"User-Agent": "readmission"})
    try:
        with closing(urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)) as response:
            expected = response.headers.get("Content-Length")
            size = 0
            while chunk := response.read(_CHUNK):
                size += spool.write(chunk)
    except urllib.error.HTTPError as error:
        kind = SourceUnavailable if error.code >= 500 or error.code in (408, 429) else SourceNotFound
        raise kind(f"{source} responded with {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise SourceUnavailable(f"{source} cannot be read: {getattr(error, 'reason', None) or error}") from error
    if expected is not None and size != int(expected):
        raise SourceUnavailable(f"{source}: the transfer ended after {size} of {expected} bytes")


def _fetch_object(source: str, bucket: str, key: str, s3: "S3Client", spool: IO[bytes]) -> None:
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        for chunk in body.iter_chunks(_CHUNK):
            spool.write(chunk)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = (
            SourceNotFound if code in ("NoSuchKey", "NoSuchBucket", "AccessDenied", "404", "403") else SourceUnavailable
        )
        raise kind(f"{source} cannot be read: {code}") from error
    except ParamValidationError as error:
        raise InvalidRequest(f"input field 'source': {source!r} is not an S3 address: {error}") from error
    except BotoCoreError as error:
        raise SourceUnavailable(f"{source} cannot be read: {error}") from error


def _open_table(spool: IO[bytes], source: str) -> tuple[IO[str], str]:
    """The table in the downloaded file as text, and its name for error messages."""
    magic = spool.read(4)
    spool.seek(0)
    raw: IO[bytes] = spool
    where = source
    try:
        if magic in (b"PK\x03\x04", b"PK\x05\x06"):  # the second is an empty archive
            archive = zipfile.ZipFile(spool)
            member = _table_in(archive, source)
            raw, where = archive.open(member), f"{source} ({member})"
        elif magic[:2] == b"\x1f\x8b":
            raw = cast(IO[bytes], gzip.GzipFile(fileobj=spool))
    except _ARCHIVE_ERRORS as error:
        raise SourceMalformed(f"{source} is a corrupt archive: {error}") from error
    return io.TextIOWrapper(raw, "utf-8-sig", newline=""), where


def _table_in(archive: zipfile.ZipFile, source: str) -> str:
    """The archive's member with the contract's header. UCI's zip also contains a table of ids."""
    tables = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    mismatch: ColumnsMismatch | None = None
    for name in sorted(tables, key=lambda name: archive.getinfo(name).file_size, reverse=True):
        with archive.open(name) as raw:
            try:
                header = next(csv.reader(io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="")), [])
            except csv.Error:
                header = []  # the first line exceeds the csv module's limit, so it is not a header
        try:
            column_order(header, f"{source} ({name})")
        except ColumnsMismatch as error:
            mismatch = mismatch or error
        else:
            return name
    raise mismatch or SourceMalformed(
        f"{source} does not contain a CSV file, only {', '.join(archive.namelist()[:10]) or 'nothing'}"
    )


def _read(text: IO[str], where: str) -> Iterator[list[str]]:
    reader = csv.reader(text, strict=True)
    number = 0
    try:
        header = next(reader, None)
        if header is None:
            raise SourceMalformed(f"{where} is empty")
        order = column_order(header, where)
        as_is = order == list(range(len(order)))
        # Blank lines are skipped: many programs write one at the end of a file.
        for number, row in enumerate(filter(None, reader), start=1):
            if len(row) != len(header):
                raise RowMalformed(f"{where}, row {number} has {len(row)} fields, not {len(header)}")
            if "\0" in "".join(row):
                raise RowMalformed(f"{where}, row {number} contains a NUL character, which Postgres cannot store")
            yield row if as_is else [row[index] for index in order]
    except csv.Error as error:
        raise SourceMalformed(f"{where}, after row {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise SourceMalformed(f"{where}, after row {number}: not UTF-8 ({error.reason})") from error
    except _ARCHIVE_ERRORS as error:
        raise SourceMalformed(f"{where}, after row {number}: the archive is corrupt: {error}") from error
