"""What Postgres, MLflow and the API hold at one moment, and what must be true of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from readmission.registry import names

from tests.chaos.system import MODEL, Run, System
from tests.chaos.traffic import Answer


@dataclass(frozen=True, slots=True)
class Line:
    """One decision of the promotion ledger."""

    id: int
    version: str
    decision: str
    execution: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """`raw`, `clean` and `quarantine` have the number of rows by batch, `training` the executions that have a run in
    MLflow which has not ended, `probabilities` the API's answer for the sample patient."""

    raw: Mapping[str, int]
    clean: Mapping[str, int]
    quarantine: Mapping[str, int]
    patients_in_two_splits: int
    ledger: Sequence[Line]
    versions: frozenset[str]
    training: frozenset[str]
    production: str | None
    served: str
    probabilities: Mapping[str, float]

    @property
    def moved(self) -> str | None:
        """The version that the ledger put into production last."""
        return next((line.version for line in reversed(self.ledger) if line.decision != "refused"), None)


def take(system: System) -> Facts:
    """Raises the errors of Postgres, and LocalError if the API does not answer."""
    forecast = system.forecast()
    return Facts(
        raw=_by_batch(system, "raw", "SELECT batch_id, count(*) FROM diabetes_raw GROUP BY batch_id"),
        clean=_by_batch(system, "clean", "SELECT batch_id, count(*) FROM diabetes_clean GROUP BY batch_id"),
        quarantine=_by_batch(system, "clean", "SELECT batch_id, count(*) FROM quarantine GROUP BY batch_id"),
        patients_in_two_splits=_split_twice(system),
        ledger=_ledger(system),
        versions=_versions(system),
        training=_training(system),
        production=system.production(),
        served=forecast["model_version"],
        probabilities=forecast["probabilities"],
    )


def _by_batch(system: System, database: str, statement: str) -> Mapping[str, int]:
    return {batch: int(rows) for batch, rows in system.query(database, statement)}


def _split_twice(system: System) -> int:
    twice = "SELECT FROM diabetes_clean GROUP BY data_kind, site, patient_nbr HAVING count(DISTINCT split) > 1"
    return int(system.query("clean", f"SELECT count(*) FROM ({twice}) AS twice")[0][0])


def _ledger(system: System) -> Sequence[Line]:
    found = system.query(
        "clean",
        "SELECT id, version, decision, execution FROM promotion_ledger WHERE model_name = :name ORDER BY id",
        name=MODEL,
    )
    return tuple(Line(*row) for row in found)


def _versions(system: System) -> frozenset[str]:
    found = system.query("mlflow", "SELECT version FROM model_versions WHERE name = :name", name=MODEL)
    return frozenset(str(version) for (version,) in found)


def _training(system: System) -> frozenset[str]:
    found = system.query(
        "mlflow",
        "SELECT DISTINCT value FROM tags JOIN runs USING (run_uuid) WHERE key = :key AND status = 'RUNNING'",
        key=names.PIPELINE_RUN,
    )
    return frozenset(execution for (execution,) in found)


# --- what must be true. Each function returns the promises that are broken, each as a sentence. ---


def kept(before: Facts, after: Facts) -> list[str]:
    """What no fault may change."""
    lost = [batch for batch, rows in before.raw.items() if after.raw.get(batch) != rows]
    same_forecast = before.served != after.served or before.probabilities == after.probabilities
    return _false(
        (not lost, f"{len(lost)} batches in raw no longer have the rows that they had"),
        (_is_continued(before.ledger, after.ledger), "lines of the promotion ledger changed or are gone"),
        (before.versions <= after.versions, f"versions are gone: {sorted(before.versions - after.versions)}"),
        (after.patients_in_two_splits == 0, f"{after.patients_in_two_splits} patients are in two splits"),
        (
            after.production == after.moved,
            f"version {after.production} is in production, but the ledger says {after.moved}",
        ),
        (after.served == after.production, f"the API serves version {after.served}, not {after.production}"),
        (same_forecast, f"version {after.served} answers other probabilities than before"),
    )


def _is_continued(before: Sequence[Line], after: Sequence[Line]) -> bool:
    return list(after[: len(before)]) == list(before)


def whole_batches(before: Facts, after: Facts, run: Run) -> list[str]:
    """Batches of chaos's own executions are loaded in full or not at all."""
    halves = {batch: rows for batch, rows in _new(before.raw, after.raw).items() if rows != run.batch_rows}
    return _false((not halves, f"half-written batches in raw, with {sorted(halves.values())} of {run.batch_rows} rows"))


def complete(before: Facts, after: Facts, run: Run) -> list[str]:
    """After a successful execution of a new source: every row, once."""
    new = _new(before.raw, after.raw)
    raw = sum(new.values())
    sorted_out = sum(after.clean.get(batch, 0) + after.quarantine.get(batch, 0) for batch in new)
    cleaned = run.stage != "ingest"
    return _false(
        (raw == run.rows, f"{raw} rows in raw, not {run.rows}"),
        (not cleaned or sorted_out == run.rows, f"{sorted_out} rows in clean and quarantine, not {run.rows}"),
    )


def decided(after: Facts, run: Run) -> list[str]:
    """A successful execution that promotes has one line, any other none; and then no version lacks a decision. No run
    in MLflow looks as if it still went on."""
    lines = sum(line.execution == run.name for line in after.ledger)
    promised = int(run.stage == "promote")
    undecided = after.versions - {line.version for line in after.ledger}
    return _false(
        (lines == promised, f"{lines} ledger lines of execution {run.name}, not {promised}"),
        (run.name not in after.training, f"MLflow has a run of execution {run.name} that has not ended"),
        (not promised or not undecided, f"versions without a decision: {sorted(undecided)}"),
    )


def unchanged(before: Facts, after: Facts) -> list[str]:
    """What is refused leaves no row, version or decision."""
    return _false(
        (before.raw == after.raw, "the rows in raw changed"),
        (before.clean == after.clean, "the rows in clean changed"),
        (before.versions == after.versions, "a version was registered"),
        (before.ledger == after.ledger, "the promotion ledger changed"),
    )


def answered(during: Sequence[Answer], since: Sequence[Answer], most_failures: int | None) -> list[str]:
    """The answers while the fault lasted, of which `most_failures` may be missing (None: any), and since the
    recovery."""
    failed = [answer for answer in during if answer.failed]
    wrong = [answer for answer in (*during, *since) if answer.wrong]
    late = [answer for answer in since if answer.failed]
    return _false(
        (not wrong, f"{len(wrong)} wrong answers, such as {_first(wrong)}"),
        (
            most_failures is None or len(failed) <= most_failures,
            f"{len(failed)} of {len(during)} requests failed, such as {_first(failed)}",
        ),
        (since, "no request was sent after the recovery"),
        (not late, f"{len(late)} requests failed after the recovery, such as {_first(late)}"),
    )


def _new(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {batch: rows for batch, rows in after.items() if batch not in before}


def _first(answers: Sequence[Answer]) -> str:
    return f"{answers[0].kind}: {answers[0].complaint}" if answers else "none"


def _false(*checks: tuple[Any, str]) -> list[str]:
    return [sentence for holds, sentence in checks if not holds]
