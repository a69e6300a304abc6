"""`make check-source`: what the pipeline would do with a source before it loads it, and a first mapping for it."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from readmission.domain.redaction import redacted
from readmission.errors import ColumnsMismatch, ReadmissionError, SourceMalformed
from readmission.pipeline import download, first_mapping, mapping_file, source_check, sources, tables
from readmission.pipeline.mapping import SourceMapping
from readmission.settings import SourceSettings

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters
from infra.local.settings import Settings


def check(settings: Settings, dataset: str, mapping: str | None) -> int:
    """Prints what would become of the rows of a file, URL or S3 object. Returns 0 if the pipeline would take it.

    The limits are those of the deployed stack, or of the template. A source whose columns do not fit gets a first
    mapping, unless there is one of that name. Raises LocalError for a source that does not exist, cannot be read or has
    a malformed row.
    """
    deployed = parameters.defaults() | parameters.kept(settings)
    limits, max_share = _limits(deployed), float(deployed["MaxInvalidShare"])
    known = _mapping(settings, mapping, dataset) if mapping else None
    head, columns = b"", None
    try:
        with _opened(settings, dataset, limits) as content:
            head = content.read(first_mapping.HEAD)
            content.seek(0)
            columns = tables.columns(content, _shown(dataset), limits.max_bytes)
            rows = tables.read(content, _shown(dataset), limits.max_bytes, known)
            found = source_check.check(rows, datetime.now(UTC).date(), rows.optional)
    except (ColumnsMismatch, SourceMalformed) as error:
        if known:
            raise LocalError(str(error)) from error
        print(f"{error}\n{_started(head, columns, dataset)}")
        return 1
    except ReadmissionError as error:
        raise LocalError(str(error)) from error
    print("\n".join(source_check.lines(found, max_share)))
    if found.refuses or found.quarantined > max_share * found.rows:
        return 1
    print(f"To load it: make pipeline DATASET={redacted(dataset)}" + (f" MAPPING={mapping}" if mapping else ""))
    return 0


def _limits(deployed: dict[str, str]) -> SourceSettings:
    return SourceSettings.from_environment(
        {
            "MAX_SOURCE_MEGABYTES": deployed["MaxSourceMegabytes"],
            "MAX_SOURCE_SECONDS": deployed["MaxSourceSeconds"],
            "ALLOW_HTTP_SOURCES": deployed["AllowHttpSources"],
            "ALLOW_PRIVATE_SOURCES": deployed["AllowPrivateSources"],
        }
    )


@contextmanager
def _opened(settings: Settings, dataset: str, limits: SourceSettings) -> Iterator[IO[bytes]]:
    """The content of the file on this machine, or what is fetched from the address."""
    if sources.parse_synthetic(dataset):
        raise LocalError("DATASET: synthetic rows have the contract's columns: there is nothing to check.")
    if "://" not in dataset:
        with existing("DATASET", dataset).open("rb") as content:
            yield content
        return
    sources.check(dataset, limits)
    with tempfile.TemporaryFile() as spool:
        if dataset.startswith("s3://"):
            sources.fetch_object(dataset, aws.client(settings, "s3"), spool, limits)
        else:
            download.download(dataset, spool, limits)
        spool.seek(0)
        yield spool


def _mapping(settings: Settings, mapping: str, dataset: str) -> SourceMapping | None:
    if not mapping.startswith("s3://"):
        return read(mapping)
    try:
        return mapping_file.read(mapping, dataset, aws.client(settings, "s3"))
    except ReadmissionError as error:
        raise LocalError(f"MAPPING: {error}") from error


def read(mapping: str) -> SourceMapping:
    """The mapping in a file on this machine. Raises LocalError with the line that is wrong."""
    file = existing("MAPPING", mapping)
    try:
        return mapping_file.parse(file.read_bytes(), file.name)
    except ReadmissionError as error:
        raise LocalError(f"MAPPING: {error}") from error


def existing(variable: str, name: str) -> Path:
    """The file on this machine that a variable names. Raises LocalError if there is none."""
    file = Path(name).expanduser()
    if not file.is_file():
        raise LocalError(f"{variable}: {file} does not exist. Give a file, https://… or s3://bucket/key.")
    return file


def _shown(dataset: str) -> str:
    return redacted(dataset) if "://" in dataset else Path(dataset).name


def _started(head: bytes, columns: Sequence[str] | None, dataset: str) -> str:
    """Writes a first mapping, for a source that starts so, into the current folder, and says so.

    `columns` are those of JSON lines or Parquet.
    """
    name = Path(urlsplit(dataset).path if "://" in dataset else dataset)
    target = Path(f"{name.stem or 'source'}.mapping.yaml")
    again = f"make check-source DATASET={redacted(dataset)} MAPPING={target}"
    if target.exists():
        return f"There is a mapping already, {target}. To check with it: {again}"
    try:
        text = first_mapping.first_mapping(head, name.name, columns)
    except SourceMalformed as error:
        return f"No first mapping was written: {error}"
    target.write_text(text, encoding="utf-8")
    return f"{target} is a first mapping. Complete it, then: {again}"
