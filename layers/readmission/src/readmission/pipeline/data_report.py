"""Data quality reports: one per batch, stored in the database `clean`.

A report consists of counts, so that reports can be added up; `document` adds shares.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Any, Final, NotRequired, TypedDict, cast

from pg8000.native import Connection

from readmission.domain.payloads import DataKind
from readmission.pipeline.profile import Profile, add_up

FIRST_ROWS: Final = 5  # row numbers kept for each rule
_TOGETHER: Final = 100  # reports read by one statement

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
    """Counts of rows. A row that breaks two rules counts for both, but only once in `quarantined`.

    `rows`, as delivered, is the sum of `cleaned`, `quarantined` and `duplicates`: rows that repeat an earlier one of
    the batch in all fields. Reports of an earlier release have no duplicates and no profile.
    """

    rows: int
    cleaned: int
    quarantined: int
    duplicates: NotRequired[int]
    rules: dict[str, int]  # rows that break the rule
    first_rows: NotRequired[
        dict[str, list[int]]
    ]  # numbers of the first of them; reports of an earlier release have none
    missing: dict[str, int]  # rows without a value in the column
    classes: dict[str, int]  # clean rows of the class
    splits: dict[str, int]  # clean rows in the split
    profile: NotRequired[Profile]  # of the clean rows


class Total(TypedDict):
    """The sum of reports."""

    rows: int
    cleaned: int
    quarantined: int
    duplicates: int
    rules: dict[str, int]
    missing: dict[str, int]
    classes: dict[str, int]
    splits: dict[str, int]
    profile: Profile


def save(clean: Connection, reports: Mapping[str, Report]) -> None:
    """Insert or replace the reports of the batches, by batch id."""
    # The order prevents deadlocks between concurrent executions.
    for batch_id in sorted(reports):
        clean.run(_SAVE, batch_id=batch_id, report=json.dumps(reports[batch_id]))


def read(clean: Connection, batch_ids: Iterable[str]) -> dict[str, Report]:
    """The reports on the batches, by batch id; batches without a report are left out."""
    return _by_batch(clean.run(_READ, batch_ids=list(batch_ids)))


def total_of(clean: Connection, batch_ids: Iterable[str]) -> Total:
    """The sum of the reports on the batches; those without a report are left out. Holds few reports at a time."""
    groups = batched(sorted(batch_ids), _TOGETHER, strict=False)
    return total(report for group in groups for report in read(clean, group).values())


def of_clean_rows(clean: Connection, kind: DataKind) -> dict[str, Report]:
    """The reports on the batches that the clean rows of a data kind came from, by batch id."""
    return _by_batch(clean.run(_OF_CLEAN_ROWS, kind=kind))


def total(reports: Iterable[Report]) -> Total:
    """The sum of the reports, with the rule broken most often first. A row that was in two batches counts twice.

    Holds one report at a time.
    """
    rows, rules, missing, classes, splits = (Counter[str]() for _ in range(5))

    def profiles() -> Iterator[Profile]:
        for report in reports:
            rows.update({name: count for name, count in report.items() if isinstance(count, int)})
            rules.update(report["rules"])
            missing.update(report["missing"])
            classes.update(report["classes"])
            splits.update(report["splits"])
            if "profile" in report:
                yield report["profile"]

    profile = add_up(profiles())
    return Total(
        rows=rows["rows"],
        cleaned=rows["cleaned"],
        quarantined=rows["quarantined"],
        duplicates=rows["duplicates"],
        rules=dict(rules.most_common()),
        missing=dict(missing),
        classes=dict(classes),
        splits=dict(splits),
        profile=profile,
    )


def faults(reports: Iterable[Report]) -> list[str]:
    """A line for each broken rule: how many rows break it, and the numbers of the first; the most frequent first."""
    counts, first_rows = Counter[str](), defaultdict[str, list[int]](list)
    for report in reports:
        counts.update(report["rules"])
        for rule, numbers in report.get("first_rows", {}).items():
            first_rows[rule] += numbers
    return [
        f"{rule}: {count} {'row' if count == 1 else 'rows'}{_listed(first_rows[rule], count)}"
        for rule, count in counts.most_common()
    ]


def _listed(numbers: Iterable[int], count: int) -> str:
    shown = sorted(set(numbers))[:FIRST_ROWS]
    if not shown:
        return ""
    return f" ({', '.join(map(str, shown))}{', …' if count > len(shown) else ''})"


def document(reports: Mapping[str, Report], deliveries: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The document that a training run logs: `total`, `batches` (by batch id) and `deliveries`, with shares added.

    `deliveries` is as `deliveries.accepted` returns it: each with its comparison with the ones before.
    """
    return {
        "total": _with_shares(total(reports.values())),
        "batches": {batch_id: _with_shares(total([reports[batch_id]])) for batch_id in sorted(reports)},
        "deliveries": list(deliveries),
    }


def metrics(reports: Mapping[str, Report]) -> dict[str, float]:
    """Metrics of all batches together, which a training run logs to MLflow."""
    everything = total(reports.values())
    return {
        "data_batches": len(reports),
        "data_rows": everything["rows"],
        "data_quarantined": everything["quarantined"],
        "data_quarantined_share": share(everything["quarantined"], everything["rows"]),
    }


def share(part: int, whole: int) -> float:
    """`part` divided by `whole`, or 0 if `whole` is 0."""
    return part / whole if whole else 0.0


def _with_shares(report: Total) -> dict[str, Any]:
    counts = {name: value for name, value in report.items() if name != "profile"}
    shares = {
        "quarantined_share": share(report["quarantined"], report["rows"]),
        "missing_share": {name: share(count, report["rows"]) for name, count in report["missing"].items()},
        "class_share": {name: share(count, report["cleaned"]) for name, count in report["classes"].items()},
    }
    return {**counts, **shares}


def _by_batch(rows: Any) -> dict[str, Report]:
    return {batch_id: cast(Report, report) for batch_id, report in rows}
