"""Reads a data source row by row in constant memory: a zip, gzip or CSV file at a URL or S3 key."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import IO, TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from readmission.domain.payloads import DataKind
from readmission.domain.redaction import redacted
from readmission.errors import InvalidRequest, SourceLimitExceeded, SourceNotFound, SourceUnavailable
from readmission.pipeline import download, synthetic, tables
from readmission.pipeline.mapping import SourceMapping
from readmission.pipeline.tables import Rows
from readmission.settings import SourceSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK: Final = 1 << 20
_DEFAULT: Final = SourceSettings()
_DEFAULT_SYNTHETIC: Final = {"rows": 20_000, "seed": 1}
_MAX_SYNTHETIC_ROWS: Final = 100_000_000
_MAX_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A synthetic source: the number of rows and the seed."""

    rows: int
    seed: int


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is read: within which limits, and by which mapping if its columns are not those of the contract."""

    settings: SourceSettings = _DEFAULT
    mapping: SourceMapping | None = None


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


def check(source: str, settings: SourceSettings) -> None:
    """Raise `InvalidRequest` for an address that is never read, whatever is there. Connects to nothing."""
    scheme, separator, rest = source.partition("://")
    if separator and scheme.lower() in ("https", "http"):
        download.parse(source, settings)
    elif not (parse_synthetic(source) or (scheme == "s3" and all(rest.partition("/")))):
        raise InvalidRequest(
            f"input field 'source': {redacted(source)!r} must be one of https://…, s3://bucket/key, synthetic"
        )


@contextmanager
def open_rows(
    source: str, s3: "S3Client", settings: SourceSettings = _DEFAULT, mapping: SourceMapping | None = None
) -> Iterator[Rows]:
    """Open `source` and iterate over its rows, always in the contract's order.

    The file is downloaded to disk first, because a zip's directory is at its end. This also detects an interrupted
    transfer before the first row is used.

    Raises `InvalidRequest`, `SourceNotFound`, `SourceUnavailable`, `SourceLimitExceeded`, `SourceMalformed`,
    `ColumnsMismatch` and `RowMalformed`. Messages name the source, without its credentials, and, if there is one, the
    row. Row 1 is the first row after the header.
    """
    check(source, settings)
    if generated := parse_synthetic(source):
        yield Rows(synthetic.rows(generated.rows, generated.seed))
        return
    with tempfile.TemporaryFile() as spool:
        if source.startswith("s3://"):
            fetch_object(source, s3, spool, settings)
        else:
            download.download(source, spool, settings)
        spool.seek(0)
        with closing(tables.read(spool, redacted(source), settings.max_bytes, mapping)) as rows:
            yield rows


def fetch_object(source: str, s3: "S3Client", spool: IO[bytes], settings: SourceSettings) -> None:
    """Write the object at the S3 address to `spool`. Raises as `open_rows` does."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    end = monotonic() + settings.max_seconds
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        size = 0
        for chunk in body.iter_chunks(_CHUNK):
            size += spool.write(chunk)
            if size > settings.max_bytes:
                raise SourceLimitExceeded(download.too_large(source, settings.max_bytes))
            if monotonic() > end:
                raise SourceLimitExceeded(download.too_slow(source, settings.max_seconds))
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
