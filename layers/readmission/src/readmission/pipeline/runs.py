"""Executions as a table (`pipeline_run`, database `clean`): why each was started, and what its models learn from."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pg8000.native import Connection

from readmission.domain.payloads import PipelineRequest
from readmission.storage.database import transaction

_LOCK: Final = 7_401_304  # any number that no other advisory lock in this database uses
_REGISTER: Final = """
    INSERT INTO pipeline_run (execution, started_at, started_by, actor, reason, event, skipped)
    VALUES (:execution, CAST(:started_at AS timestamptz), :started_by, :actor, :reason, :event, :skipped)
    ON CONFLICT (execution) DO NOTHING
"""
_OF_EVENT: Final = "SELECT execution FROM pipeline_run WHERE event = :event AND skipped IS NULL"
_RETRAINED: Final = """
    SELECT execution, started_at FROM pipeline_run
    WHERE started_by = 'drift' AND skipped IS NULL
        AND started_at > CAST(:started_at AS timestamptz) - CAST(:seconds AS float8) * interval '1 second'
    ORDER BY started_at DESC LIMIT 1
"""
# One that is not listed as running may have started after the list was made, or Step Functions is late to list it.
_TRAINING: Final = """
    SELECT execution, extract(epoch FROM now() - trains_since)::float8 FROM pipeline_run
    WHERE model_name = :model_name AND recipe = :recipe AND execution <> :execution
        AND (execution = ANY (CAST(:running AS text[])) OR trains_since > now() - interval '1 minute')
    ORDER BY trains_since, execution LIMIT 1
"""
_CLAIM: Final = """
    UPDATE pipeline_run SET model_name = :model_name, recipe = :recipe, trains_since = now()
    WHERE execution = :execution
"""


@dataclass(frozen=True, slots=True)
class Training:
    """An execution that trains, and for how long it has."""

    execution: str
    since: timedelta


def register(
    clean: Connection, execution: str, started_at: str, request: PipelineRequest, pause: timedelta
) -> str | None:
    """Record an execution and why it was started (`started_at`: ISO 8601, UTC).

    Returns why it must not go on, or None: its event has started another execution, or drift has started one within the
    `pause`. The answer to the same execution stays the same.
    """
    with transaction(clean):
        clean.run("SELECT pg_advisory_xact_lock(CAST(:lock AS bigint))", lock=_LOCK)
        known = clean.run("SELECT skipped FROM pipeline_run WHERE execution = :execution", execution=execution)
        if known:
            return _text(known[0][0])
        skipped = _obstacle(clean, started_at, request, pause)
        clean.run(
            _REGISTER,
            execution=execution,
            started_at=started_at,
            started_by=request.started_by,
            actor=request.actor,
            reason=request.reason,
            event=request.event,
            skipped=skipped,
        )
        return skipped


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _obstacle(clean: Connection, started_at: str, request: PipelineRequest, pause: timedelta) -> str | None:
    if request.event and (found := clean.run(_OF_EVENT, event=request.event)):
        return f"the event {request.event} has started the execution {found[0][0]} already"
    if request.started_by != "drift":
        return None
    if found := clean.run(_RETRAINED, started_at=started_at, seconds=pause.total_seconds()):
        execution, began = found[0]
        hours = f"{pause / timedelta(hours=1):g}"
        return f"the execution {execution}, which drift started at {_moment(began)}, is less than {hours} hours ago"
    return None


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def training(
    clean: Connection, model_name: str, recipe: str, execution: str, running: Collection[str]
) -> Training | None:
    """Another execution that trains by this recipe, or None. `running` are those that Step Functions lists."""
    found = clean.run(_TRAINING, model_name=model_name, recipe=recipe, execution=execution, running=sorted(running))
    return Training(found[0][0], timedelta(seconds=found[0][1])) if found else None


def claim(clean: Connection, model_name: str, recipe: str, execution: str) -> None:
    """Record that the execution trains by this recipe from now on."""
    clean.run(_CLAIM, model_name=model_name, recipe=recipe, execution=execution)
