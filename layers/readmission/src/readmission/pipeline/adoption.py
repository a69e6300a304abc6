"""Takes over what a release before 'deliveries' has loaded: its rows become accepted deliveries, one for each run.

The migrations of the two databases cannot do this, because it needs the batch of every raw row in the database `clean`.
"""

import tempfile
from itertools import groupby
from typing import Any, Final

from pg8000.native import Connection

from readmission.pipeline import deliveries, publication
from readmission.pipeline.clean import clean_batches
from readmission.pipeline.deliveries import DeliveredBatch, Delivery
from readmission.pipeline.publication import ROW_COLUMNS

_EARLIER: Final = """
    SELECT data_kind, to_char(delivered_at AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US'),
        CAST(delivered_at AS text), batch.batch_id, batch.rows, batch.earlier_id
    FROM batch, LATERAL (SELECT data_kind, delivered_at FROM diabetes_raw
        WHERE diabetes_raw.batch_id = batch.batch_id LIMIT 1) AS line
    WHERE batch.earlier_id IS NOT NULL
    ORDER BY data_kind, delivered_at, batch_id
"""
_PLACES: Final = """
    COPY (
        SELECT encode(row_hash, 'hex'), batch_id, row_number FROM diabetes_raw JOIN batch USING (batch_id)
        WHERE batch.earlier_id IS NOT NULL
    ) TO STDOUT
"""
_STAGE: Final = """
    CREATE TEMPORARY TABLE earlier_row
    (row_hash text COLLATE "C" PRIMARY KEY, batch_id text COLLATE "C", place integer) ON COMMIT DROP
"""
_RENAMED: Final = tuple(name for name in ROW_COLUMNS if name not in ("batch_id", "place"))
_TAKE_OVER: Final = (
    "UPDATE quarantine SET batch_id = earlier_row.batch_id, place = earlier_row.place FROM earlier_row"
    " WHERE earlier_row.row_hash = quarantine.row_hash",
    "UPDATE diabetes_clean SET batch_id = earlier_row.batch_id FROM earlier_row"
    " WHERE earlier_row.row_hash = diabetes_clean.row_hash",
    f"INSERT INTO clean_row (batch_id, place, {', '.join(_RENAMED)})"
    f" SELECT earlier_row.batch_id, place, {', '.join(f'line.{name}' for name in _RENAMED)}"
    " FROM diabetes_clean AS line JOIN earlier_row USING (row_hash)",
)
_KEPT: Final = """
    SELECT batch_id, count(*) FROM (
        SELECT batch_id FROM clean_row UNION ALL SELECT batch_id FROM quarantine
    ) AS kept WHERE batch_id = ANY (CAST(:ids AS text[])) GROUP BY batch_id
"""
# The report on a batch whose rows moved to several is about none of them.
_REPORT: Final = """
    INSERT INTO batch_report (batch_id, report) SELECT :batch_id, report FROM batch_report WHERE batch_id = :earlier_id
    AND (report ->> 'rows')::int = :rows ON CONFLICT DO NOTHING
"""


def adopt(raw: Connection, clean: Connection) -> int:
    """Register what an earlier release has loaded, and return how many deliveries that makes. Idempotent.

    Batches that have rows which a later delivery had replaced are cleaned again, because the earlier release kept only
    the newest row of an encounter.
    """
    found = raw.run(_EARLIER)
    if not found:
        return 0
    adopted = 0 if _known(clean, found) else _register_all(raw, clean, found)
    for batch_id in _incomplete(clean, found):
        clean_batches([batch_id], raw, clean)
    return adopted


def _register_all(raw: Connection, clean: Connection, found: list[list[Any]]) -> int:
    with tempfile.TemporaryFile() as places, publication.exclusive(clean):
        if _known(clean, found):
            return 0
        raw.run(_PLACES, stream=places)
        places.seek(0)
        clean.run(_STAGE)
        clean.run("COPY earlier_row (row_hash, batch_id, place) FROM STDIN", stream=places)
        for statement in _TAKE_OVER:
            clean.run(statement)
        runs = [(key, list(lines)) for key, lines in groupby(found, key=lambda line: line[:3])]
        for (kind, time, delivered_at), lines in runs:
            _register(clean, Delivery(f"earlier-{kind}-{time}", kind, "default", "", delivered_at), lines)
    return len(runs)


def _incomplete(clean: Connection, found: list[list[Any]]) -> list[str]:
    """The batches of which not every row is in the clean rows or in quarantine."""
    kept = dict(clean.run(_KEPT, ids=[line[3] for line in found]))
    return [line[3] for line in found if kept.get(line[3], 0) != line[4]]


def _known(clean: Connection, found: list[list[Any]]) -> bool:
    ((known,),) = clean.run("SELECT EXISTS (SELECT FROM delivery_batch WHERE batch_id = :id)", id=found[0][3])
    return bool(known)


def _register(clean: Connection, delivery: Delivery, lines: list[list[Any]]) -> None:
    batches = [DeliveredBatch(number, line[3], 0, line[4]) for number, line in enumerate(lines, start=1)]
    deliveries.register(clean, delivery, batches)
    deliveries.set_status(clean, [delivery.delivery_id], "accepted", "loaded by an earlier release")
    for *_, batch_id, rows, earlier_id in lines:
        clean.run(_REPORT, batch_id=batch_id, earlier_id=earlier_id, rows=rows)
