"""Encounters for training and for requests, from the real archive or synthetic."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import pandas as pd
from readmission.domain import diagnoses
from readmission.domain.contract import DIAG_VERSION, ENDS_OF_CARE, NAMES
from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS, PATIENT_HISTORY, fields_of, inputs_of
from readmission.domain.splits import split_of
from readmission.pipeline import quality, sources, synthetic

from tests.benchmarks import server

_ENDED = {place for places in ENDS_OF_CARE.values() for place in places}


@dataclass(frozen=True, slots=True)
class Encounters:
    """`table` as `training.dataset.read` answers it, and the `fields` that a request for each row would have."""

    table: pd.DataFrame
    fields: list[dict[str, Any]]


def read(count: int, archive_url: str | None) -> Encounters:
    """The first `count` rows of the archive, or synthetic ones, without those that are never forecast."""
    with _source(count, archive_url) as rows:
        return of([dict(zip(NAMES, row, strict=True)) for row in islice(rows, count)])


def of(raw: list[dict[str, str]]) -> Encounters:
    """The valid ones of these rows, as `read` returns them. They may have the version of their diagnoses."""
    checked = {name: [row[name] for row in raw] for name in NAMES}
    checked[DIAG_VERSION] = [row.get(DIAG_VERSION, "") for row in raw]
    checked |= {"data_kind": ["real"] * len(raw), "row_number": [str(number) for number in range(1, len(raw) + 1)]}
    checked["dated"] = ["f"] * len(raw)
    invalid = quality.invalid_rows(quality.broken_rules(checked))
    valid = [row for index, row in enumerate(raw) if index not in invalid]
    valid.sort(key=lambda row: int(row["encounter_id"]))
    told = [(row, fields) for row, fields in _with_history(valid) if fields["discharge_disposition_id"] not in _ENDED]
    return Encounters(_table(told), [fields for _, fields in told])


def as_csv(fields: list[dict[str, Any]]) -> str:
    """The rows as the body of a batch."""
    names = list(dict.fromkeys(name for one in fields for name in one))
    lines: list[str] = []
    writer = csv.DictWriter(_Lines(lines), names)
    writer.writeheader()
    writer.writerows(fields)
    return "".join(lines)


class _Lines:
    """A list that can be written to as a file."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


@contextmanager
def _source(count: int, archive_url: str | None) -> Iterator[Iterator[list[str]]]:
    if archive_url is None:
        yield synthetic.rows(count, seed=1)
    else:
        with sources.open_rows(archive_url, cast(Any, None), server.SETTINGS) as rows:
            yield rows


def _with_history(rows: list[dict[Any, str]]) -> Iterator[tuple[dict[Any, str], dict[str, Any]]]:
    """Each row with its fields, including the history that the view `encounters` gives."""
    earlier: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        version = quality.stated_version(row.get(DIAG_VERSION, ""))
        fields = fields_of(row) | diagnoses.read(row, version).codes
        stays = earlier.setdefault(row["patient_nbr"], [])
        history = {
            "prior_encounters": len(stays),
            "prior_early_readmissions": sum(stay["early_readmission"] for stay in stays),
            "prior_days_in_hospital": sum(stay["time_in_hospital"] for stay in stays),
        }
        if stays:
            last = {f"last_{name}": value for name, value in stays[-1].items() if value is not None}
            history |= {name: last[name] for name in PATIENT_HISTORY if name in last}
        stays.append({**fields, "early_readmission": int(row["readmitted"] == "<30")})
        yield row, {name: value for name, value in (fields | history).items() if value is not None}


def _table(told: list[tuple[dict[Any, str], dict[str, Any]]]) -> pd.DataFrame:
    table = pd.DataFrame([inputs_of(fields) for _, fields in told], columns=list(INPUTS))
    table = table.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "str"))
    for name in ("race", "gender", "readmitted"):
        table[name] = pd.Series([row[name] for row, _ in told], dtype="str")
    table["patient_nbr"] = [int(row["patient_nbr"]) for row, _ in told]
    table["split"] = pd.Series([split_of(row["patient_nbr"]) for row, _ in told], dtype="str")
    return table
