"""Makes `diabetes_clean`, what models learn from, out of the clean rows of the accepted deliveries.

Each encounter has the newest of its valid rows. A row is as old as the first accepted delivery that has it, valid there
or not, so a row that arrives again unchanged keeps its age. The table depends on nothing else: to withdraw a delivery
is to make the table again without it, which brings back exactly the rows that it had replaced.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pg8000.native import Connection

from readmission.domain.contract import DIAG_VERSION, LABEL_DUE_DAYS
from readmission.domain.features import STORED
from readmission.domain.payloads import WithdrawalRequest, WithdrawalResult
from readmission.errors import InvalidRequest
from readmission.pipeline import deliveries
from readmission.storage.database import transaction

# The columns of `clean_row`, which *clean* fills.
ROW_COLUMNS: Final = (
    "batch_id",
    "place",
    "data_kind",
    "site",
    "split",
    "row_hash",
    "encounter_id",
    "patient_nbr",
    "race",
    "gender",
    "discharge_date",
    # As delivered; what the models read of them is stored, too.
    "diag_1",
    "diag_2",
    "diag_3",
    DIAG_VERSION,
    *STORED,
    "readmitted",
)
_LOCK: Final = 7_401_301  # any number that no other advisory lock in this database uses
_KEY: Final = ("data_kind", "site", "encounter_id")
_COPIED: Final = tuple(name for name in ROW_COLUMNS if name != "place")
_CHOSEN: Final = ("delivered_at", "row_number", "label_due")
_TARGET: Final = (*_COPIED, *_CHOSEN)
_REASON_LENGTH: Final = 500

# The encounters of one statement: with all of a large delivery in one, Postgres would sort its whole rows on disk, and
# be silent for longer than a connection waits for an answer.
_SLICE = 100_000

_AFFECTED: Final = """
    CREATE TEMPORARY TABLE affected ON COMMIT DROP AS
    SELECT data_kind, site, encounter_id,
        (row_number() OVER (ORDER BY data_kind, site, encounter_id) - 1) / CAST(:size AS integer) AS slice
    FROM (
        SELECT data_kind, site, encounter_id FROM clean_row WHERE batch_id = ANY (CAST(:ids AS text[]))
        UNION
        SELECT data_kind, site, encounter_id FROM diabetes_clean WHERE batch_id = ANY (CAST(:ids AS text[]))
    ) AS encounter
"""
_INDEX: Final = "CREATE INDEX ON affected (slice)"
# A slice of two sites is two ranges.
_RANGES: Final = """
    SELECT slice, data_kind, site, min(encounter_id), max(encounter_id) FROM affected
    GROUP BY slice, data_kind, site ORDER BY slice, data_kind, site
"""
_IN_RANGE: Final = "slice = :slice AND affected.data_kind = :data_kind AND affected.site = :site"
# The joins imply it. Only when it is written out does Postgres read a part of the other table's index, and not the
# whole table for each slice.
_BETWEEN: Final = "BETWEEN CAST(:first AS bigint) AND CAST(:last AS bigint)"
# A batch is as old as the first accepted delivery that has it. Narrow rows are sorted, and only the chosen ones are
# fetched whole.
_CHOOSE: Final = f"""
    CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
    WITH batch AS MATERIALIZED (
        SELECT DISTINCT ON (batch_id) batch_id, first_row, delivered_at,
            max(taken_on) OVER (PARTITION BY batch_id) AS taken_on
        FROM delivery_batch JOIN delivery USING (delivery_id) WHERE status = 'accepted'
        ORDER BY batch_id, delivered_at, first_row
    ),
    occurrence AS (
        SELECT data_kind, site, encounter_id, row_hash, batch_id, place, discharge_date, true AS valid
        FROM affected JOIN clean_row USING (data_kind, site, encounter_id)
        WHERE {_IN_RANGE} AND clean_row.encounter_id {_BETWEEN}
        UNION ALL
        SELECT data_kind, site, encounter_id, row_hash, batch_id, place, NULL, false
        FROM affected JOIN quarantine USING (data_kind, site, encounter_id)
        WHERE {_IN_RANGE} AND quarantine.encounter_id {_BETWEEN}
    ),
    aged AS (
        SELECT occurrence.*, taken_on, first_value(delivered_at) OVER aging AS delivered_at,
            first_value(first_row + place) OVER aging AS row_number
        FROM occurrence JOIN batch USING (batch_id)
        WINDOW aging AS (
            PARTITION BY data_kind, site, encounter_id, row_hash ORDER BY delivered_at, first_row + place, batch_id
        )
    ),
    valid_row AS (
        SELECT DISTINCT ON (data_kind, site, encounter_id, row_hash) *,
            max(taken_on) OVER (PARTITION BY data_kind, site, encounter_id, row_hash) AS last_taken_on
        FROM aged WHERE valid
        ORDER BY data_kind, site, encounter_id, row_hash, batch_id, place
    )
    SELECT DISTINCT ON (data_kind, site, encounter_id) batch_id, place, data_kind, site, encounter_id, delivered_at,
        row_number, coalesce(discharge_date + {LABEL_DUE_DAYS} <= last_taken_on, discharge_date IS NULL) AS label_due
    FROM valid_row
    ORDER BY data_kind, site, encounter_id, delivered_at DESC, row_number DESC, row_hash
"""
_REMOVE: Final = f"""
    DELETE FROM diabetes_clean AS old USING affected
    WHERE {_IN_RANGE} AND old.encounter_id {_BETWEEN}
    AND old.data_kind = affected.data_kind AND old.site = affected.site AND old.encounter_id = affected.encounter_id
    AND NOT EXISTS (
        SELECT FROM chosen WHERE chosen.data_kind = old.data_kind AND chosen.site = old.site
        AND chosen.encounter_id = old.encounter_id
    )
"""
_INSERT: Final = f"""
    INSERT INTO diabetes_clean ({", ".join(_TARGET)})
    SELECT {", ".join(f"line.{name}" for name in _COPIED)}, {", ".join(f"chosen.{name}" for name in _CHOSEN)}
    FROM chosen JOIN clean_row AS line USING (batch_id, place, data_kind, site, encounter_id)
    WHERE line.data_kind = :data_kind AND line.site = :site AND line.encounter_id {_BETWEEN}
    ORDER BY line.data_kind, line.site, line.encounter_id
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
    SET cleaned_at = now(), {", ".join(f"{name} = excluded.{name}" for name in _TARGET if name not in _KEY)}
"""


@contextmanager
def exclusive(clean: Connection) -> Iterator[None]:
    """A transaction that no other decision on deliveries runs beside."""
    with transaction(clean):
        clean.run("SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)
        yield


def publish(clean: Connection, batch_ids: Sequence[str]) -> tuple[int, int]:
    """Make the encounters of these batches again from the accepted deliveries, within `exclusive`.

    Returns how many encounters left the table, and how many are in it now.
    """
    clean.run(_AFFECTED, ids=list(batch_ids), size=_SLICE)
    clean.run(_INDEX)
    clean.run("ANALYZE affected")
    removed = kept = 0
    for number, kind, site, first, last in clean.run(_RANGES):
        whole = {"data_kind": kind, "site": site, "first": first, "last": last}
        clean.run(_CHOOSE, slice=number, **whole)
        clean.run("ANALYZE chosen")
        clean.run(_REMOVE, slice=number, **whole)
        removed += clean.row_count
        clean.run(_INSERT, **whole)
        kept += clean.row_count
        clean.run("DROP TABLE chosen")
    return removed, kept


def withdraw(request: WithdrawalRequest, clean: Connection) -> WithdrawalResult:
    """Take a delivery back: the clean table becomes what it would be without it. Idempotent.

    Its raw rows and its quarantine stay, as a record. Raises `InvalidRequest` for an unknown delivery.
    """
    delivery_id, reason = request.get("delivery"), request.get("reason") or ""
    if not isinstance(delivery_id, str) or not isinstance(reason, str) or len(reason) > _REASON_LENGTH:
        raise InvalidRequest(
            "a withdrawal must name its 'delivery', and its 'reason' must be a text of at most"
            f" {_REASON_LENGTH} characters"
        )
    with exclusive(clean):
        if not deliveries.find(clean, [delivery_id]):
            raise InvalidRequest(f"there is no delivery {delivery_id!r}; to list the deliveries: make deliveries")
        deliveries.set_status(clean, [delivery_id], "withdrawn", reason)
        batches = deliveries.batches_of(clean, [delivery_id])[delivery_id]
        removed, kept = publish(clean, sorted({batch.batch_id for batch in batches}))
    return WithdrawalResult(delivery=delivery_id, removed=removed, kept=kept)
