"""`make check-source`: what the pipeline would do with a file before it loads it, and a first mapping for it."""

from datetime import UTC, datetime
from pathlib import Path

from readmission.errors import ColumnsMismatch, ReadmissionError, SourceMalformed
from readmission.pipeline import first_mapping, mapping_file, source_check, tables
from readmission.pipeline.mapping import SourceMapping
from readmission.settings import SourceSettings

from infra.local.errors import LocalError

MAX_INVALID_SHARE = 0.02
"""What the template allows unless it is deployed with another MaxInvalidShare."""


def check(dataset: str, mapping: str | None) -> int:
    """Prints what would become of the rows of a file on this machine. Returns 0 if the pipeline would take it.

    A file whose columns do not fit gets a first mapping, unless there is one of that name. Raises LocalError for a file
    that does not exist, cannot be read or has a malformed row.
    """
    file = existing("DATASET", dataset)
    known = read(mapping) if mapping else None
    try:
        with file.open("rb") as content:
            rows = tables.read(content, file.name, SourceSettings().max_bytes, known)
            found = source_check.check(rows, datetime.now(UTC).date(), rows.optional)
    except (ColumnsMismatch, SourceMalformed) as error:
        if known:
            raise LocalError(str(error)) from error
        print(f"{error}\n{_started(file)}")
        return 1
    except ReadmissionError as error:
        raise LocalError(str(error)) from error
    print("\n".join(source_check.lines(found, MAX_INVALID_SHARE)))
    if found.refuses or found.quarantined > MAX_INVALID_SHARE * found.rows:
        return 1
    print(f"To load it: make pipeline DATASET={dataset}" + (f" MAPPING={mapping}" if mapping else ""))
    return 0


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
        raise LocalError(f"{variable}: {file} does not exist. Give a file on this machine.")
    return file


def _started(file: Path) -> str:
    """Writes a first mapping for the file into the current folder, and says so."""
    target = Path(f"{file.stem}.mapping.yaml")
    again = f"make check-source DATASET={file} MAPPING={target}"
    if target.exists():
        return f"There is a mapping already, {target}. To check the file with it: {again}"
    with file.open("rb") as content:
        try:
            text = first_mapping.first_mapping(content.read(first_mapping.HEAD), file.name)
        except SourceMalformed as error:
            return f"No first mapping was written: {error}"
    target.write_text(text, encoding="utf-8")
    return f"{target} is a first mapping. Complete it, then: {again}"
