"""The clean stays of a delivery, as the documents of encounters that a request would have."""

from collections.abc import Generator
from typing import Any, Final

from pg8000.native import Connection

from readmission.bulk.readers import Numbered
from readmission.domain import diagnoses
from readmission.domain.contract import DIAG_VERSION, MISSING
from readmission.domain.features import FEATURES, OPTIONAL
from readmission.errors import InvalidRequest

_IDENTITY: Final = ("site", "patient_nbr", "encounter_id")
_DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")
_COLUMNS: Final = (*_IDENTITY, *FEATURES, *OPTIONAL, DIAG_VERSION)
_BATCHES: Final = "SELECT batch_id FROM delivery_batch WHERE delivery_id = :delivery ORDER BY number"
_ROWS: Final = f"SELECT {', '.join(_COLUMNS)} FROM clean_row WHERE batch_id = :batch ORDER BY place"


def read(clean: Connection, delivery: str) -> Generator[Numbered]:
    """The valid rows of an accepted delivery, in its order; in memory is one of its batches.

    Diagnoses are those that the models learned from: a code of ICD-10-CM without an equivalent is unknown. Raises
    `InvalidRequest` if there is no such delivery, or if it is not accepted.
    """
    found = clean.run("SELECT status FROM delivery WHERE delivery_id = :delivery", delivery=delivery)
    if not found:
        raise InvalidRequest("input field 'delivery': there is no delivery of this name; `make deliveries` lists them")
    ((status,),) = found
    if status != "accepted":
        raise InvalidRequest(f"input field 'delivery': the delivery is {status}, and only an accepted one is scored")
    number = 0
    for (batch_id,) in clean.run(_BATCHES, delivery=delivery):
        for row in clean.run(_ROWS, batch=batch_id):
            number += 1
            yield number, _document(dict(zip(_COLUMNS, row, strict=True)))


def _document(row: dict[str, Any]) -> dict[str, Any]:
    if row["diag_1"] is None:
        raise InvalidRequest(
            "input field 'delivery': its rows were cleaned by an earlier release, without the codes of their diagnoses;"
            " run the pipeline from 'clean' first"
        )
    read = diagnoses.read({name: row[name] for name in _DIAGNOSES}, row.pop(DIAG_VERSION))
    known = row | read.codes
    # The codes that were read are of ICD-9-CM, whatever the delivery has.
    return {name: value for name, value in known.items() if value not in (None, MISSING)} | {DIAG_VERSION: "icd9"}
