"""What the databases hold of one patient: found, counted and deleted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pg8000.native import Connection

from readmission.pipeline import publication

_OF_PATIENT: Final = "site = :site AND patient_nbr = CAST(:patient AS bigint)"
_IS_ROW: Final = "row_hash = ANY (CAST(:hashes AS text[]))"
# The database `raw` has hashes as bytes, and as digits until the first run after an upgrade.
_DIGITS: Final = r"ltrim(CAST(row_hash AS text), '\x')"
_IS_RAW_ROW: Final = f"{_DIGITS} = ANY (CAST(:hashes AS text[]))"
_IS_ENCOUNTER: Final = "site = :site AND encounter_id = ANY (CAST(CAST(:encounters AS text[]) AS bigint[]))"
# A forecast whose patient the log knows as another one stays, whatever its encounter is.
_IS_FORECAST: Final = (
    f"(patient_key = CAST(:key AS text) OR ({_IS_ENCOUNTER} AND (patient_key IS NULL OR CAST(:key AS text) IS NULL)))"
)
_BATCHES: Final = f"""
    SELECT batch_id, rows, count(*) FROM batch JOIN (
        SELECT batch_id FROM diabetes_raw WHERE {_IS_RAW_ROW}
        UNION ALL SELECT batch_id FROM shared_row WHERE {_IS_RAW_ROW}
    ) AS line USING (batch_id)
    GROUP BY batch_id, rows
"""
_OF_OTHERS: Final = f"SELECT DISTINCT encounter_id FROM diabetes_raw WHERE {_IS_ENCOUNTER} AND NOT ({_OF_PATIENT})"
# The condition of each table in the database `clean`.
_TABLES: Final[Mapping[str, str]] = {
    "clean_row": _OF_PATIENT,
    "diabetes_clean": _OF_PATIENT,
    "quarantine": _IS_ROW,
    # Before the forecasts, by which it is found.
    "feedback": f"(request_id, position) IN (SELECT request_id, position FROM prediction WHERE {_IS_FORECAST})",
    "prediction": _IS_FORECAST,
    "outcome": _IS_ENCOUNTER,
}
# What is left of a batch. The other figures of a report say how often something was the case, and stay.
_REPORTS: Final = """
    UPDATE batch_report SET report = report || jsonb_build_object(
        'cleaned', counts.cleaned, 'quarantined', counts.quarantined,
        'rows', counts.cleaned + counts.quarantined + coalesce(CAST(report ->> 'duplicates' AS integer), 0)
    )
    FROM (
        SELECT batch_id,
            (SELECT count(*) FROM clean_row WHERE clean_row.batch_id = batch.batch_id) AS cleaned,
            (SELECT count(*) FROM quarantine WHERE quarantine.batch_id = batch.batch_id) AS quarantined
        FROM unnest(CAST(:ids AS text[])) AS batch (batch_id)
    ) AS counts
    WHERE counts.batch_id = batch_report.batch_id
"""
_ROWS_LEFT: Final = """
    UPDATE delivery_batch SET rows = batch.rows
    FROM unnest(CAST(:ids AS text[]), CAST(CAST(:rows AS text[]) AS integer[])) AS batch (batch_id, rows)
    WHERE batch.batch_id = delivery_batch.batch_id
"""
_OTHERS_BATCHES: Final = f"SELECT DISTINCT batch_id FROM clean_row WHERE {_IS_ENCOUNTER} AND NOT ({_OF_PATIENT})"
_ERASED: Final = """
    INSERT INTO erased_patient (patient_key, erased_at) VALUES (:key, now())
    ON CONFLICT (patient_key) DO UPDATE SET erased_at = excluded.erased_at
"""


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient of a site. `key` is what the prediction log knows the patient by; None without a log."""

    site: str
    number: int = field(repr=False)
    key: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Known:
    """What leads to all other rows of the patient.

    `hashes` are the patient's raw rows, `encounters` those of this patient alone, `all_encounters` also those that a
    row of another patient claims, and `batches` the number of rows that each batch has without the patient's.
    """

    patient: Patient
    hashes: Sequence[str] = field(repr=False)
    encounters: Sequence[int] = field(repr=False)
    all_encounters: Sequence[int] = field(repr=False)
    batches: Mapping[str, int]


def know(raw: Connection, clean: Connection, patient: Patient) -> Known:
    """Look up the patient's rows in the database `raw`, and encounters in the prediction log too."""
    rows = raw.run(
        f"SELECT {_DIGITS}, encounter_id FROM diabetes_raw WHERE {_OF_PATIENT}",
        site=patient.site,
        patient=str(patient.number),
    )
    hashes = [row_hash for row_hash, _ in rows]
    logged = clean.run(
        "SELECT DISTINCT encounter_id FROM prediction WHERE patient_key = CAST(:key AS text)"
        " AND encounter_id IS NOT NULL",
        key=patient.key,
    )
    encounters = {encounter for _, encounter in rows} | {encounter for (encounter,) in logged}
    others = raw.run(
        _OF_OTHERS, site=patient.site, patient=str(patient.number), encounters=list(map(str, sorted(encounters)))
    )
    return Known(
        patient,
        hashes,
        encounters=sorted(encounters - {encounter for (encounter,) in others}),
        all_encounters=sorted(encounters),
        batches={batch: rows - gone for batch, rows, gone in raw.run(_BATCHES, hashes=hashes)},
    )


def count(clean: Connection, known: Known) -> dict[str, int]:
    """How many rows of the patient each table has, by the table's name."""
    counts = {"diabetes_raw": len(known.hashes)}
    for table, condition in _TABLES.items():
        ((number,),) = clean.run(f"SELECT count(*) FROM {table} WHERE {condition}", **_values(known, condition))
        counts[table] = number
    return counts


def delete_clean(clean: Connection, known: Known, rows_left: Mapping[str, int]) -> None:
    """Delete the patient from the database `clean` in one transaction. Idempotent.

    `rows_left` is how many rows each changed batch has without the patient. What was delivered of an encounter for
    another patient counts again.
    """
    with publication.exclusive(clean):
        if known.patient.key:
            clean.run(_ERASED, key=known.patient.key)
        for table, condition in _TABLES.items():
            clean.run(f"DELETE FROM {table} WHERE {condition}", **_values(known, condition))
        clean.run(_REPORTS, ids=list(known.batches))
        clean.run(_ROWS_LEFT, ids=list(rows_left), rows=[str(rows) for rows in rows_left.values()])
        values = _values(known, _OTHERS_BATCHES) | {"encounters": list(map(str, known.all_encounters))}
        others = [batch for (batch,) in clean.run(_OTHERS_BATCHES, **values)]
        if others:
            publication.publish(clean, others)


def delete_raw(raw: Connection, known: Known) -> None:
    """Delete the patient from the database `raw`, within a transaction."""
    for batch_id, left in known.batches.items():
        raw.run(
            "UPDATE batch SET distinct_rows = distinct_rows - (rows - CAST(:rows AS integer)), rows = :rows"
            " WHERE batch_id = :id",
            id=batch_id,
            rows=left,
        )
    raw.run(f"DELETE FROM shared_row WHERE {_IS_RAW_ROW}", hashes=list(known.hashes))
    raw.run(f"DELETE FROM diabetes_raw WHERE {_IS_RAW_ROW}", hashes=list(known.hashes))


def unloaded(raw: Connection, clean: Connection, site: str) -> set[str]:
    """The batches of the site's deliveries that are not in the database `raw`."""
    planned = {batch for batch, found in sites_of_batches(clean).items() if site in found}
    return planned - loaded(raw, planned)


def loaded(raw: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the batches that are in the database `raw`."""
    found = raw.run("SELECT batch_id FROM batch WHERE batch_id = ANY (CAST(:ids AS text[]))", ids=sorted(ids))
    return {batch for (batch,) in found}


def sites_of_batches(clean: Connection) -> dict[str, set[str]]:
    """Which sites each delivered batch is of."""
    found: dict[str, set[str]] = {}
    for batch, site in clean.run(
        "SELECT DISTINCT batch_id, site FROM delivery_batch JOIN delivery USING (delivery_id)"
    ):
        found.setdefault(batch, set()).add(site)
    return found


def sources(clean: Connection, known: Known) -> tuple[dict[str, list[str | None]], list[str]]:
    """The sources of the site's deliveries: all of them, and those whose batches have rows of the patient.

    Each of the former is with the texts of the mappings that it was read by, None for the contract's columns.
    """
    every: dict[str, list[str | None]] = {}
    for source, mapping in clean.run(
        "SELECT DISTINCT source, mapping FROM delivery WHERE site = :site ORDER BY source", site=known.patient.site
    ):
        every.setdefault(source, []).append(mapping)
    holding = clean.run(
        "SELECT DISTINCT source FROM delivery JOIN delivery_batch USING (delivery_id)"
        " WHERE batch_id = ANY (CAST(:ids AS text[])) ORDER BY source",
        ids=list(known.batches),
    )
    return every, [source for (source,) in holding]


def _values(known: Known, condition: str) -> dict[str, Any]:
    """The parameters that the condition has."""
    values = {
        "site": known.patient.site,
        "patient": str(known.patient.number),
        "key": known.patient.key,
        "hashes": list(known.hashes),
        "encounters": list(map(str, known.encounters)),
    }
    return {name: value for name, value in values.items() if f":{name}" in condition}
