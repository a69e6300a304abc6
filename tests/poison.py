"""Sources and inputs of executions that must be refused by name: for the end-to-end tests and for chaos."""

from typing import Any

from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic
from readmission.pipeline.plan import to_csv


def table(rows: list[list[str]], header: tuple[str, ...] = NAMES) -> bytes:
    return to_csv([header, *rows]).encode()


def some_rows() -> list[list[str]]:
    return list(synthetic.rows(30, seed=8))


def with_field(name: str, value: str, place: int = 11) -> bytes:
    rows = some_rows()
    rows[place][NAMES.index(name)] = value
    return table(rows)


FILES = {
    "a zip that is cut off": (b"PK\x03\x04" + b"\x00" * 200, "plan: SourceMalformed", "corrupt archive"),
    "an empty file": (b"", "plan: SourceMalformed", "is empty"),
    "a missing column": (table([row[:-1] for row in some_rows()], NAMES[:-1]), "plan: ColumnsMismatch", "'readmitted'"),
    "an extra column": (
        table([[*row, "x"] for row in some_rows()], (*NAMES, "bmi")),
        "plan: ColumnsMismatch",
        "extra: 'bmi'",
    ),
    "a row with too few fields": (
        table([*some_rows()[:6], some_rows()[6][:40], *some_rows()[7:]]),
        "plan: RowMalformed",
        "row 7 has 40 fields, not 50",
    ),
    "a value out of range": (
        with_field("time_in_hospital", "-4"),
        "ingest: ValueOutOfRange",
        "row 12, column 'time_in_hospital': '-4'",
    ),
    "a header without rows": (table([]), "plan: SourceMalformed", "has a header but no rows"),
    "a number that is none": (with_field("patient_nbr", "12x"), "ingest: ValueOutOfRange", "column 'patient_nbr'"),
}
"""The content of each file, and the step, error and part of the message with which it is refused."""

SOURCES = {
    "a key that does not exist": ("sources/nothing.zip", "plan: SourceNotFound", "sources/nothing.zip"),
    "a folder": ("sources", "plan: SourceNotFound", "sources"),
}
"""Keys in the data bucket, and what is said as for `FILES`."""

REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "batch size of zero": ({"batch_size": 0}, "'batch_size'"),
    "unknown model": ({"models": ["svm"]}, "'models'"),
    "unknown field": ({"dataset": "x"}, "'dataset'"),
    "unknown step": ({"start_at": "lunch"}, "'start_at'"),
    "source of another kind": ({"source": "ftp://host/file"}, "'source'"),
}
"""Inputs of executions, and the field that the error names."""
