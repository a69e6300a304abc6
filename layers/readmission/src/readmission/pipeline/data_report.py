"""Reports on how batches kept to the data contract: kept in database `clean`, one a batch, and added up.

A report is counts alone, so that reports add up; `document` adds the shares.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict, cast

from pg8000.native import Connection

from readmission.domain.payloads import DataKind

_SAVE: Final = """
    INSERT INTO batch_report (batch_id, report) VALUES (:batch_id, CAST(:report AS jsonb))
    ON CONFLICT (batch_id) DO UPDATE SET report = excluded.report, reported_at = now()
"""
_READ: Final = "SELECT batch_id, report FROM batch_report WHERE batch_id = ANY (CAST(:batch_ids AS text[]))"
_OF_CLEAN_ROWS: Final = """
    SELECT batch_id, report FROM batch_report
    WHERE batch_id IN (SELECT batch_id FROM diabetes_clean WHERE data_kind = :kind)
"""


class Report(TypedDict):
    """Counts of rows. A row that breaks two rules counts in both, but once in `quarantined`."""

    rows: int
    cleaned: int
    quarantined: int
    rules: dict[str, int]  # rows that break it
    missing: dict[str, int]  # rows that hold no value of the column
    classes: dict[str, int]  # clean rows
    splits: dict[str, int]  # clean rows


def save(clean: Connection, reports: Mapping[str, Report]) -> None:
    """Put the batches' reports in place, or in place of earlier ones; the order keeps two from locking crosswise."""
    for batch_id in sorted(reports):
        clean.run(_SAVE, batch_id=batch_id, report=json.dumps(reports[batch_id]))


def read(clean: Connection, batch_ids: Iterable[str]) -> dict[str, Report]:
    """The reports of those of the batches that have one."""
    return _by_batch(clean.run(_READ, batch_ids=list(batch_ids)))


def of_clean_rows(clean: Connection, kind: DataKind) -> dict[str, Report]:
    """The reports of the batches that the clean rows of that kind are from."""
    return _by_batch(clean.run(_OF_CLEAN_ROWS, kind=kind))


def total(reports: Iterable[Report]) -> Report:
    """All of them together. A row that two batches held counts in both."""
    rows = cleaned = quarantined = 0
    rules, missing, classes, splits = (Counter[str]() for _ in range(4))
    for report in reports:
        rows += report["rows"]
        cleaned += report["cleaned"]
        quarantined += report["quarantined"]
        rules.update(report["rules"])
        missing.update(report["missing"])
        classes.update(report["classes"])
        splits.update(report["splits"])
    return Report(
        rows=rows,
        cleaned=cleaned,
        quarantined=quarantined,
        rules=dict(rules.most_common()),
        missing=dict(missing),
        classes=dict(classes),
        splits=dict(splits),
    )


def document(reports: Mapping[str, Report]) -> dict[str, Any]:
    """What a training run logs: `total` and `batches` (by batch id), with shares beside the counts."""
    return {
        "total": _with_shares(total(reports.values())),
        "batches": {batch_id: _with_shares(reports[batch_id]) for batch_id in sorted(reports)},
    }


def metrics(reports: Mapping[str, Report]) -> dict[str, float]:
    """The figures of all batches together that MLflow shows beside a model's."""
    found = total(reports.values())
    return {
        "data_batches": len(reports),
        "data_rows": found["rows"],
        "data_quarantined": found["quarantined"],
        "data_quarantined_share": share(found["quarantined"], found["rows"]),
    }


def share(part: int, whole: int) -> float:
    """`part` of `whole`; of nothing, nothing."""
    return part / whole if whole else 0.0


def _with_shares(report: Report) -> dict[str, Any]:
    shares = {
        "quarantined_share": share(report["quarantined"], report["rows"]),
        "missing_share": {name: share(count, report["rows"]) for name, count in report["missing"].items()},
        "class_share": {name: share(count, report["cleaned"]) for name, count in report["classes"].items()},
    }
    return {**report, **shares}


def _by_batch(rows: Any) -> dict[str, Report]:
    return {batch_id: cast(Report, report) for batch_id, report in rows}
