"""Keeps what was done about forecasts, in the table `feedback` of `clean`, from the messages of *predict*."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from pg8000.native import Connection

from readmission.domain.predictions import FEEDBACK_OUTCOMES
from readmission.errors import MessageInvalid
from readmission.storage.database import transaction

_TEXTS: Final[Mapping[str, Any]] = {
    "request_id": str,
    "position": int,
    "outcome": str,
    "outcome_at": str,
    "reason_code": str | None,
    "reason": str | None,
    "by": str | None,
}
_INSERT: Final = """
    INSERT INTO feedback (feedback_id, received_at, route, request_id, position, outcome, outcome_at, reason_code,
        reason, done_by)
    VALUES (:feedback_id, CAST(:received_at AS timestamptz), :route, :request_id, :position, :outcome,
        CAST(:outcome_at AS timestamptz), :reason_code, :reason, :by)
    ON CONFLICT (feedback_id) DO NOTHING
"""
_DELETE: Final = "DELETE FROM feedback WHERE received_at < now() - make_interval(days => CAST(:days AS integer))"

type Row = dict[str, Any]


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a `FeedbackMessage`. Raises `MessageInvalid`, which names the field and no value."""
    received_at, route, entries = (document.get(name) for name in ("received_at", "route", "feedback"))
    if not isinstance(received_at, str) or not isinstance(route, str) or not isinstance(entries, list):
        raise MessageInvalid("received_at, route or feedback is missing, or of a wrong type")
    return [
        _row(one, f"feedback {index}") | {"received_at": received_at, "route": route}
        for index, one in enumerate(entries)
    ]


def store(clean: Connection, rows: Sequence[Row]) -> int:
    """Write the rows, and return how many were new. Raises `pg8000`'s `DatabaseError`."""
    added = 0
    with transaction(clean):
        # In order, so that two copies of the same message wait for each other, and not each for the other.
        for row in sorted(rows, key=lambda one: str(one["feedback_id"])):
            clean.run(_INSERT, **row)
            added += clean.row_count
    return added


def delete_old(clean: Connection, days: int) -> int:
    """Delete the feedback that came more than `days` days ago, and return its number."""
    clean.run(_DELETE, days=days)
    deleted: int = clean.row_count
    return deleted


def _row(one: Any, where: str) -> Row:
    if not isinstance(one, dict):
        raise MessageInvalid(f"{where} is not an object")
    for name, kind in _TEXTS.items():
        if name not in one or isinstance(one[name], bool) or not isinstance(one[name], kind):
            raise MessageInvalid(f"{where}: {name} is missing, or of a wrong type")
    if one["outcome"] not in FEEDBACK_OUTCOMES:
        raise MessageInvalid(f"{where}: outcome is none of {', '.join(FEEDBACK_OUTCOMES)}")
    row = {name: one[name] for name in _TEXTS}
    return row | {"feedback_id": sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:32]}
