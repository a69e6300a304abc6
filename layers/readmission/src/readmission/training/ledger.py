"""The append-only ledger of decisions on what serves (`promotion_ledger`, database `clean`)."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from pg8000.native import Connection

type Decision = Literal["promoted", "refused", "rolled back"]

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
)
_APPEND: Final = f"""
    INSERT INTO promotion_ledger ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f":{name}" if name != "metrics" else "CAST(:metrics AS jsonb)" for name in _COLUMNS)})
"""
_READ: Final = f"SELECT {', '.join(_COLUMNS)} FROM promotion_ledger WHERE model_name = :model_name"


@dataclass(frozen=True, slots=True)
class Line:
    """One decision. `execution` is the state machine's; None for a decision that a person took."""

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


def append(clean: Connection, line: Line) -> None:
    """Write a decision; part of the caller's transaction."""
    values: dict[str, Any] = {name: getattr(line, name) for name in _COLUMNS}
    clean.run(_APPEND, **{**values, "metrics": json.dumps(line.metrics)})


def of_execution(clean: Connection, model_name: str, execution: str | None) -> Line | None:
    """What that execution has decided, if it has."""
    if execution is None:
        return None
    found = clean.run(f"{_READ} AND execution = :execution", model_name=model_name, execution=execution)
    return Line(*found[0]) if found else None


def served_before(clean: Connection, model_name: str, version: str) -> str | None:
    """The version that was in Production before `version` last came there."""
    found = clean.run(
        "SELECT previous_version FROM promotion_ledger WHERE model_name = :model_name AND version = :version"
        " AND decision <> 'refused' ORDER BY id DESC LIMIT 1",
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
