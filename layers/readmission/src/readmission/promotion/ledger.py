"""The append-only ledger of decisions about the version in Production (`promotion_ledger`, database `clean`).

A decision is one of six. Three are about what serves:

- promoted: the candidate `version` replaces `previous_version`;
- refused: the candidate `version` does not replace `previous_version`, which stays;
- rolled back: an operator puts the earlier `version` back in place of `previous_version`.

Three are about a version that is tried on live requests first, while `previous_version` serves:

- shadowed: `version` becomes the challenger: it is asked beside the other and answers nobody;
- canaried: the challenger answers a share of the patients;
- withdrawn: the challenger is asked no more.

The entry is written before an alias moves. If a step fails in between, the next one completes the move
(`alias.settle`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from pg8000.native import Connection

from readmission.promotion.reasons import Code

type Decision = Literal["promoted", "refused", "rolled back", "shadowed", "canaried", "withdrawn"]

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
    "decided_by",
    "forced",
    "reason_code",
)
_APPEND: Final = f"""
    INSERT INTO promotion_ledger ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f":{name}" if name != "metrics" else "CAST(:metrics AS jsonb)" for name in _COLUMNS)})
    RETURNING id
"""
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)}, id FROM promotion_ledger WHERE model_name = :model_name"
_NEWEST: Final = "ORDER BY id DESC LIMIT 1"
_MOVES: Final = "decision IN ('promoted', 'rolled back')"  # of `Production`
_ADDED: Final[dict[str, Any]] = {"decided_by": None, "forced": False, "reason_code": ""}
_LOCK: Final = 7_401_300  # any number that no other advisory lock in this database uses


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision.

    `execution` names the state machine's execution and is None for any other caller. `decided_by` is who asked for a
    rollback or started the execution, and `forced` whether it overrode an objection. `reason_code` is empty in entries
    of earlier releases. `id` is None until the entry is written.
    """

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
    decided_by: str | None = None
    forced: bool = False
    reason_code: Code | Literal[""] = ""
    id: int | None = None


@contextmanager
def exclusive(clean: Connection, model_name: str) -> Iterator[None]:
    """Hold a lock so that decisions on one model are made one at a time, each seeing the one before."""
    clean.run("SELECT pg_advisory_lock(CAST(:lock AS integer), hashtext(:name))", lock=_LOCK, name=model_name)
    yield
    # After an error, closing the connection releases the lock; the connection may no longer accept statements.
    clean.run("SELECT pg_advisory_unlock(CAST(:lock AS integer), hashtext(:name))", lock=_LOCK, name=model_name)


def append(clean: Connection, entry: Entry) -> Entry:
    """Write a decision and return it with its id. Its metrics must not contain NaN or infinity."""
    values: dict[str, Any] = {name: getattr(entry, name) for name in _COLUMNS}
    ((number,),) = clean.run(_APPEND, **{**values, "metrics": json.dumps(entry.metrics, allow_nan=False)})
    return replace(entry, id=number)


def of_execution(clean: Connection, model_name: str, execution: str | None) -> Entry | None:
    """The decision that this execution has already made, or None."""
    if execution is None:
        return None
    return _one(clean.run(f"{_SELECT} AND execution = :execution", model_name=model_name, execution=execution))


def of_training(clean: Connection, model_name: str, mlflow_run_id: str) -> Entry | None:
    """The newest decision that an execution has made on the version of this training run, or None."""
    return _one(
        clean.run(
            f"{_SELECT} AND mlflow_run_id = :run AND execution IS NOT NULL {_NEWEST}",
            model_name=model_name,
            run=mlflow_run_id,
        )
    )


def newest_on(clean: Connection, model_name: str, version: str) -> Entry | None:
    """The newest decision on the version."""
    return _one(clean.run(f"{_SELECT} AND version = :version {_NEWEST}", model_name=model_name, version=version))


def newest_move(clean: Connection, model_name: str) -> Entry | None:
    """The newest promotion or rollback: the decision that chose the version in Production."""
    return _one(clean.run(f"{_SELECT} AND {_MOVES} {_NEWEST}", model_name=model_name))


def challenge(clean: Connection, model_name: str) -> Entry | None:
    """The decision that tries a version on live requests now, or None: whatever came later on any version ended it."""
    ((exists,),) = clean.run("SELECT to_regclass('promotion_ledger') IS NOT NULL")
    if not exists:
        return None
    found = _one(clean.run(f"{_SELECT} AND decision <> 'refused' {_NEWEST}", model_name=model_name))
    return found if found and found.decision in ("shadowed", "canaried") else None


def newest_try(clean: Connection, model_name: str) -> Entry | None:
    """The newest decision on a challenger that made it one, or ended that."""
    return _one(
        clean.run(f"{_SELECT} AND decision IN ('shadowed', 'canaried', 'withdrawn') {_NEWEST}", model_name=model_name)
    )


def decided_at(clean: Connection, entry: Entry) -> datetime:
    """When the written entry was decided."""
    ((found,),) = clean.run("SELECT decided_at FROM promotion_ledger WHERE id = :id", id=entry.id)
    at: datetime = found
    return at


def abandonment_of(clean: Connection, model_name: str, version: str) -> Entry | None:
    """The withdrawal of the version, unless it has been tried or has served since."""
    found = _one(
        clean.run(
            f"{_SELECT} AND version = :version AND decision <> 'refused' {_NEWEST}",
            model_name=model_name,
            version=version,
        )
    )
    return found if found and found.decision == "withdrawn" else None


def serving_at(clean: Connection, model_name: str, when: str) -> tuple[str, str] | None:
    """What was in Production at that time (ISO 8601), in the form of `served`; None if nothing was."""
    found = clean.run(
        "SELECT version, mlflow_run_id FROM promotion_ledger WHERE model_name = :model_name"
        " AND decision IN ('promoted', 'rolled back') AND decided_at <= CAST(:when AS timestamptz)"
        " ORDER BY id DESC LIMIT 1",
        model_name=model_name,
        when=when,
    )
    return (found[0][0], found[0][1]) if found else None


def served(clean: Connection, model_name: str) -> list[tuple[str, str]]:
    """What has been in Production: version and MLflow run, newest first.

    The run distinguishes versions of the same number if the registry was emptied in between. It is empty for entries of
    early releases.
    """
    found = clean.run(
        f"SELECT version, mlflow_run_id FROM promotion_ledger WHERE model_name = :model_name AND {_MOVES}"
        " GROUP BY version, mlflow_run_id ORDER BY max(id) DESC",
        model_name=model_name,
    )
    return [(version, run) for version, run in found]


def decided(clean: Connection, model_name: str) -> list[tuple[str, str]]:
    """What has any decision, in the form of `served`, in no order."""
    found = clean.run(
        "SELECT DISTINCT version, mlflow_run_id FROM promotion_ledger WHERE model_name = :model_name",
        model_name=model_name,
    )
    return [(version, run) for version, run in found]


def withdrawal_of(clean: Connection, model_name: str, version: str) -> Entry | None:
    """The rollback that took the version out of Production, unless it has returned since."""
    found = _one(
        clean.run(
            f"{_SELECT} AND {_MOVES} AND (version = :version"
            f" OR decision = 'rolled back' AND previous_version = :version) {_NEWEST}",
            model_name=model_name,
            version=version,
        )
    )
    return found if found and found.version != version else None


def predecessor_of(clean: Connection, model_name: str, version: str) -> str | None:
    """The version that was in Production before this one, or None.

    A promotion counts before a rollback: two rollbacks in a row go back two versions, instead of returning to the
    version that the first of them took out.
    """
    found = clean.run(
        "SELECT previous_version FROM promotion_ledger WHERE model_name = :model_name AND version = :version"
        f" AND {_MOVES} AND previous_version IS DISTINCT FROM version"
        " ORDER BY decision = 'promoted' DESC, id DESC LIMIT 1",
        model_name=model_name,
        version=version,
    )
    return found[0][0] if found else None


def read(clean: Connection, model_name: str, limit: int) -> list[dict[str, Any]]:
    """The newest decisions as JSON objects, newest first; empty before the first pipeline run creates the table.

    Needs only the right to read: before a decision migrates the table, its newest columns have their defaults. `limit`
    is at most `limit.LARGEST`.
    """
    ((exists,),) = clean.run("SELECT to_regclass('promotion_ledger') IS NOT NULL")
    if not exists:
        return []
    found = clean.run(
        "SELECT row_to_json(entry) FROM (SELECT * FROM promotion_ledger WHERE model_name = :model_name"
        " ORDER BY id DESC LIMIT :limit) AS entry",
        model_name=model_name,
        limit=limit,
    )
    return [_ADDED | row for (row,) in found]


def _one(rows: list[list[Any]]) -> Entry | None:
    return Entry(*rows[0]) if rows else None
