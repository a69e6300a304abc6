"""Outcomes that were reported to the API: what became of a patient after an encounter.

The newest of an encounter counts, and none is ever replaced: the view `forecast_outcome` chooses, also between these
and the labels of deliveries.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from pg8000.native import Connection

from readmission.storage.database import transaction

type Result = Literal["stored", "repeated", "conflict"]

# A request that is sent again finds its own outcomes.
_STORE: Final = """
    INSERT INTO outcome
        (site, encounter_id, readmitted, discharge_date, reported_at, reported_by, request_id, position)
    SELECT site, encounter_id, readmitted, discharge_date, now(), :by, :request_id, position
    FROM jsonb_to_recordset(CAST(:outcomes AS jsonb))
        AS line (position integer, site text, encounter_id bigint, readmitted text, discharge_date date)
    ORDER BY position
    ON CONFLICT (request_id, position) DO NOTHING
    RETURNING position
"""
_COMPARE: Final = """
    SELECT position, (line.site, line.encounter_id, line.readmitted, line.discharge_date)
        IS NOT DISTINCT FROM (outcome.site, outcome.encounter_id, outcome.readmitted, outcome.discharge_date)
    FROM jsonb_to_recordset(CAST(:outcomes AS jsonb))
        AS line (position integer, site text, encounter_id bigint, readmitted text, discharge_date date)
    JOIN outcome USING (position) WHERE outcome.request_id = :request_id
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the patient of an encounter. `position` is its place in the request, from 0."""

    position: int
    site: str
    encounter_id: int
    readmitted: str
    discharge_date: date | None = None


def store(clean: Connection, outcomes: Sequence[Outcome], request_id: str, by: str | None) -> dict[int, Result]:
    """Store the outcomes of a request in one transaction, and return what became of each, by its position.

    `repeated` is one that the request has brought before, and `conflict` one in whose place it brought another, which
    stays. `by` is who reports them. Idempotent.
    """
    lines = json.dumps([_line(one) for one in outcomes])
    with transaction(clean):
        stored = {position for (position,) in clean.run(_STORE, outcomes=lines, request_id=request_id, by=by)}
        known = dict(clean.run(_COMPARE, outcomes=lines, request_id=request_id))
    return {one.position: _result(one.position in stored, known[one.position]) for one in outcomes}


def _result(stored: bool, same: bool) -> Result:
    if stored:
        return "stored"
    return "repeated" if same else "conflict"


def _line(outcome: Outcome) -> dict[str, Any]:
    day = outcome.discharge_date
    return {
        "position": outcome.position,
        "site": outcome.site,
        "encounter_id": outcome.encounter_id,
        "readmitted": outcome.readmitted,
        "discharge_date": day and day.isoformat(),
    }
