"""The append-only ledger of decisions on what serves (`promotion_ledger`, database `clean`).

A decision is written first and carried out then; what was written and not carried out is made up for by the next step
(`promote.settle`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pg8000.native import Connection

from readmission.errors import InvalidRequest
from readmission.storage.migrations import migrate

type Decision = Literal["promoted", "refused", "rolled back"]

LARGEST_LIMIT: Final = 1000  # lines of an answer: Lambda's may have 6 MB

_COLUMNS: Final = (
    "model_name",
    "version",
    "previous_version",
    "decision",
    "reason",
    "metrics",
    "data_kind",
    "data_hash",
    "code_version",
    "execution",
    "family",
    "mlflow_run_id",
)
_APPEND: Final = f"""
    INSERT INTO promotion_ledger ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f":{name}" if name != "metrics" else "CAST(:metrics AS jsonb)" for name in _COLUMNS)})
    RETURNING id
"""
_READ: Final = f"SELECT {', '.join(_COLUMNS)}, id FROM promotion_ledger WHERE model_name = :model_name"
_NEWEST: Final = "ORDER BY id DESC LIMIT 1"
_LOCK: Final = 7_401_300  # any number that no other advisory lock of this database uses


@dataclass(frozen=True, slots=True)
class Line:
    """One decision. `execution` is the state machine's, None for another caller's; `id` is None until written."""

    model_name: str
    version: str
    previous_version: str | None
    decision: Decision
    reason: str
    metrics: dict[str, Any]
    data_kind: str
    data_hash: str
    code_version: str
    execution: str | None
    family: str = ""
    mlflow_run_id: str = ""
    id: int | None = None


@contextmanager
def deciding(clean: Connection, model_name: str) -> Iterator[None]:
    """One decision on a model at a time: each sees what the one before has made of `Production`."""
    # A rollback or a promotion may be the first to come after a deployment; only *plan* migrates else.
    migrate(clean, "clean")
    clean.run("SELECT pg_advisory_lock(CAST(:lock AS integer), hashtext(:name))", lock=_LOCK, name=model_name)
    yield
    # After an error the lock goes with the connection, which may be in no state to be asked.
    clean.run("SELECT pg_advisory_unlock(CAST(:lock AS integer), hashtext(:name))", lock=_LOCK, name=model_name)


def append(clean: Connection, line: Line) -> Line:
    """Write a decision; answers it with its id. The metrics hold no NaN or infinity."""
    values: dict[str, Any] = {name: getattr(line, name) for name in _COLUMNS}
    ((number,),) = clean.run(_APPEND, **{**values, "metrics": json.dumps(line.metrics, allow_nan=False)})
    return replace(line, id=number)


def of_execution(clean: Connection, model_name: str, execution: str | None) -> Line | None:
    """What that execution has decided, if it has."""
    if execution is None:
        return None
    return _one(clean.run(f"{_READ} AND execution = :execution", model_name=model_name, execution=execution))


def newest_on(clean: Connection, model_name: str, version: str) -> Line | None:
    """The newest decision on that version."""
    return _one(clean.run(f"{_READ} AND version = :version {_NEWEST}", model_name=model_name, version=version))


def newest_move(clean: Connection, model_name: str) -> Line | None:
    """The newest decision that gave `Production` to a version."""
    return _one(clean.run(f"{_READ} AND decision <> 'refused' {_NEWEST}", model_name=model_name))


def left_by_rollback(clean: Connection, model_name: str, version: str) -> Line | None:
    """The rollback that took `version` out of Production, unless it has come back since."""
    found = _one(
        clean.run(
            f"{_READ} AND decision <> 'refused' AND (version = :version"
            f" OR decision = 'rolled back' AND previous_version = :version) {_NEWEST}",
            model_name=model_name,
            version=version,
        )
    )
    return found if found and found.version != version else None


def served_before(clean: Connection, model_name: str, version: str) -> str | None:
    """The version that was in Production before `version`.

    By the line that promoted it, where there is one: two rollbacks in a row go two versions back, and not to the
    version that the first of them left.
    """
    found = clean.run(
        "SELECT previous_version FROM promotion_ledger WHERE model_name = :model_name AND version = :version"
        " AND decision <> 'refused' AND previous_version IS DISTINCT FROM version"
        " ORDER BY decision = 'promoted' DESC, id DESC LIMIT 1",
        model_name=model_name,
        version=version,
    )
    return found[0][0] if found else None


def newest(clean: Connection, model_name: str, limit: int) -> list[dict[str, Any]]:
    """The newest decisions, newest first, as JSON has them."""
    found = clean.run(
        "SELECT row_to_json(line) FROM (SELECT * FROM promotion_ledger WHERE model_name = :model_name"
        " ORDER BY id DESC LIMIT :limit) AS line",
        model_name=model_name,
        limit=limit,
    )
    return [row for (row,) in found]


def read(clean: Connection, model_name: str, limit: int) -> list[dict[str, Any]]:
    """The newest decisions for one who may only read: none as long as no pipeline has made the table."""
    ((there,),) = clean.run("SELECT to_regclass('promotion_ledger') IS NOT NULL")
    return newest(clean, model_name, limit) if there else []


def history(request: Any, clean: Connection, model_name: str) -> list[dict[str, Any]]:
    """The newest decisions; `request` may hold a `limit`, 50 by default. Raises `InvalidRequest`."""
    limit = request.get("limit", 50) if isinstance(request, dict) else None
    if type(limit) is not int or not 1 <= limit <= LARGEST_LIMIT:
        raise InvalidRequest(f"'history' must be an object whose 'limit' is a whole number from 1 to {LARGEST_LIMIT}")
    migrate(clean, "clean")
    return newest(clean, model_name, limit)


def _one(rows: list[list[Any]]) -> Line | None:
    return Line(*rows[0]) if rows else None
