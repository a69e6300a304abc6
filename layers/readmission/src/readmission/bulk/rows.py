"""The rows of a chunk: which are encounters, what their patients' histories are, and what is wrong with the others."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.errors import NotMigrated
from readmission.http.problems import Refused
from readmission.pipeline.record import is_not_migrated
from readmission.serving import patient_history
from readmission.serving.batch import refusal
from readmission.serving.earlier_stays import earlier_stays
from readmission.serving.encounters import Asked, Patient, encounter_of
from readmission.serving.patient_history import EarlierStays

type Read = tuple[int, Asked | dict[str, Any]]
"""A row's number, and its encounter or its problem (a `schemas.RowProblem`)."""


def read(lines: Sequence[tuple[int, Any, Any]]) -> list[Read]:
    """The rows of `plan.read_chunk`."""
    return [(number, problem or _encounter(document)) for number, document, problem in lines]


def _encounter(document: Any) -> Asked | dict[str, Any]:
    try:
        return encounter_of(document)
    except Refused as refused:
        return refusal(refused)


def asking(rows: Sequence[Read]) -> list[tuple[Asked, Patient]]:
    """The encounters that name a patient whose history is to be looked up."""
    return [(row, row.patient) for _, row in rows if isinstance(row, Asked) and row.patient]


def look_up(
    patients: Sequence[Patient], data_kind: str, clean: AbstractContextManager[Connection]
) -> list[EarlierStays]:
    """The earlier stays of each patient, in this order. One query.

    Raises `DatabaseUnavailable`, and `NotMigrated` before the first run of the pipeline.
    """
    if not patients:
        return []
    with clean as connection:
        try:
            return earlier_stays(connection, data_kind, patients)
        except DatabaseError as error:
            if is_not_migrated(error):
                raise NotMigrated("the database has no table of encounters yet; run the pipeline once") from None
            raise


def fill_in(rows: Sequence[Read], found: Sequence[EarlierStays]) -> None:
    """Give the encounters of `asking` what was looked up, as a request does."""
    for (asked, patient), stays in zip(asking(rows), found, strict=True):
        patient_history.fill_in(asked, patient, stays)
