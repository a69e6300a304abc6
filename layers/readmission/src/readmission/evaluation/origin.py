"""Where training rows come from: recorded with each training, so that exactly these rows can be made again later.

The clean table shows what the accepted deliveries say today. Every batch's valid rows stay in `clean_row`, whatever
later deliveries replace or a withdrawal takes out, and the table depends on nothing but them and the accepted
deliveries. So the deliveries of then give the table of then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from pg8000.native import Connection

from readmission.domain.contract import LABEL_DUE_DAYS
from readmission.domain.payloads import DataKind
from readmission.domain.splits import Split
from readmission.errors import PatientsErased, RebuildImpossible
from readmission.evaluation import dataset
from readmission.evaluation.dataset import Part
from readmission.pipeline import publication
from readmission.storage.database import transaction

FORMAT: Final = "readmission-training-rows"
FORMAT_VERSION: Final = 1
_SHADOWED: Final = ("delivery", "delivery_batch", "diabetes_clean")
_DELIVERIES: Final = """
    SELECT delivery_id, site, source, CAST(delivered_at AS text), CAST(taken_on AS text),
        coalesce(json_agg(json_build_object(
            'number', number, 'batch_id', batch_id, 'first_row', first_row, 'rows', batch.rows, 'valid_rows', (
                SELECT count(*) FROM clean_row WHERE clean_row.batch_id = batch.batch_id
            )
        ) ORDER BY number) FILTER (WHERE number IS NOT NULL), '[]')
    FROM delivery LEFT JOIN delivery_batch AS batch USING (delivery_id)
    WHERE status = 'accepted' AND data_kind = :kind
    GROUP BY delivery_id ORDER BY delivery.delivered_at, delivery_id
"""
_NAMES: Final = ("delivery", "site", "source", "delivered_at", "taken_on", "batches")
_RESTORE: Final = """
    INSERT INTO pg_temp.delivery (delivery_id, data_kind, site, source, delivered_at, taken_on, status)
    VALUES (:delivery, :kind, :site, :source, CAST(:delivered_at AS timestamptz), CAST(:taken_on AS date), 'accepted')
"""
_RESTORE_BATCH: Final = """
    INSERT INTO pg_temp.delivery_batch (delivery_id, number, batch_id, first_row, rows)
    VALUES (:delivery, :number, :batch_id, :first_row, :rows)
"""
_VALID: Final = """
    SELECT batch_id, count(*) FROM clean_row WHERE batch_id = ANY (CAST(:ids AS text[])) GROUP BY batch_id
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What rows a training read: `read_at` (ISO 8601) says when, `deliveries` from which deliveries and batches.

    `newest` is the limit of rows, `rows` the number that was read, `rows_hash` that of `dataset.rows_hash`.
    `content_sha256` covers what was read of the rows; empty for a training by several processes, which read an export.
    """

    data_kind: DataKind
    read_at: str
    newest: int
    label_due_days: int
    rows: int
    rows_hash: str
    content_sha256: str
    deliveries: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises `RebuildImpossible` for a document of another format."""
        found = document.get("format"), document.get("format_version")
        if found != (FORMAT, FORMAT_VERSION):
            raise RebuildImpossible(f"its record of rows has the format {found}, and this release reads {FORMAT} 1")
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})

    @property
    def batches(self) -> dict[str, int]:
        """How many valid rows each batch had, by its id."""
        return {batch["batch_id"]: batch["valid_rows"] for one in self.deliveries for batch in one["batches"]}


def load(clean: Connection, kind: DataKind, newest: int, site: str | None = None) -> tuple[dict[Split, Part], Origin]:
    """The rows of `dataset.load` with their origin, both as they are at one moment. Raises what that raises.

    With `site`, only its rows; the origin is that of all rows nevertheless.
    """
    with dataset.snapshot(clean, kind) as rows_hash:
        table, content = dataset.read_in_transaction(clean, kind, newest)
        found = _origin(clean, kind, newest, len(table), rows_hash, content)
    return dataset.parts_of(table, kind, site), found


def of_export(clean: Connection, kind: DataKind, rows: int) -> Origin:
    """The origin of all `rows` clean rows of that kind, without reading them."""
    with dataset.snapshot(clean, kind) as rows_hash:
        return _origin(clean, kind, rows, rows, rows_hash, "")


def _origin(clean: Connection, kind: DataKind, newest: int, rows: int, rows_hash: str, content: str) -> Origin:
    ((read_at,),) = clean.run("SELECT CAST(now() AS text)")
    lines = clean.run(_DELIVERIES, kind=kind)
    return Origin(
        data_kind=kind,
        read_at=read_at,
        newest=newest,
        label_due_days=LABEL_DUE_DAYS,
        rows=rows,
        rows_hash=rows_hash,
        content_sha256=content,
        deliveries=[dict(zip(_NAMES, line, strict=True)) for line in lines],
    )


@contextmanager
def restored(clean: Connection, raw: Connection, origin: Origin) -> Iterator[None]:
    """Within it, `clean` sees the clean table as it was then; nobody else does, and nothing is kept.

    The tables are temporary ones of the same names, which Postgres finds before the others. `raw` knows who was erased.
    Raises `RebuildImpossible` if valid rows are missing, and its subclass `PatientsErased`.
    """
    _check(clean, raw, origin)
    # The view's own definition, so that the rows of then get the features that this release computes.
    ((view,),) = clean.run("SELECT pg_get_viewdef(CAST('encounters' AS regclass))")
    try:
        with transaction(clean):
            for name in _SHADOWED:
                clean.run(f"CREATE TEMPORARY TABLE {name} (LIKE {name} INCLUDING ALL)")
            clean.run(f"CREATE TEMPORARY VIEW encounters AS {view}")
            for delivery in origin.deliveries:
                own = {name: value for name, value in delivery.items() if name != "batches"}
                clean.run(_RESTORE, kind=origin.data_kind, **own)
                for batch in delivery["batches"]:
                    stored = {name: value for name, value in batch.items() if name != "valid_rows"}
                    clean.run(_RESTORE_BATCH, delivery=delivery["delivery"], **stored)
            publication.publish(clean, sorted(origin.batches))
            clean.run("ANALYZE pg_temp.diabetes_clean")
        yield
    finally:
        clean.run("DROP VIEW IF EXISTS pg_temp.encounters")
        for name in _SHADOWED:
            clean.run(f"DROP TABLE IF EXISTS pg_temp.{name}")


def _check(clean: Connection, raw: Connection, origin: Origin) -> None:
    """Raise an error if a batch has another number of valid rows than it had."""
    found = dict(clean.run(_VALID, ids=list(origin.batches)))
    for delivery in origin.deliveries:
        for batch in delivery["batches"]:
            then, now = batch["valid_rows"], found.get(batch["batch_id"], 0)
            if then == now:
                continue
            where = f"delivery {delivery['delivery']}, batch {batch['number']}: it had {then:,} valid rows, now {now:,}"
            if now < then and _erased_since(raw, delivery["site"], origin):
                raise PatientsErased(f"{where}. Patients were erased since, and what was erased does not come back")
            raise RebuildImpossible(f"{where}. It has been cleaned again by another release, or rows were deleted")


def _erased_since(raw: Connection, site: str, origin: Origin) -> bool:
    """Whether a patient of the site was erased after the training had read its rows."""
    ((erased,),) = raw.run(
        "SELECT EXISTS (SELECT FROM erasure WHERE site = :site"
        " AND coalesce(completed_at, requested_at) >= CAST(:read_at AS timestamptz))",
        site=site,
        read_at=origin.read_at,
    )
    return bool(erased)
