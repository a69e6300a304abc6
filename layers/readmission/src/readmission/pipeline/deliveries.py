"""The deliveries: one for each source that a run has brought, with its batches and what became of it.

A delivery is `pending` until its check accepts or refuses it, and an operator can withdraw it. Only accepted deliveries
are learned from; `publication` makes the clean table from them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, TypedDict

from pg8000.native import Connection

from readmission.domain.payloads import DEFAULT_SITE, DataKind
from readmission.errors import InvalidRequest

type Status = Literal["pending", "accepted", "refused", "withdrawn"]

_COLUMNS: Final = "delivery_id, data_kind, site, source, CAST(delivered_at AS text), taken_on, status"
_IS_ONE: Final = "delivery_id = ANY (CAST(:ids AS text[]))"
_ORDER: Final = "ORDER BY delivery.delivered_at, delivery_id"
_REGISTER: Final = """
    INSERT INTO delivery (delivery_id, data_kind, site, source, delivered_at, taken_on, mapping_hash, mapping)
    VALUES (
        :delivery_id, :data_kind, :site, :source, CAST(:delivered_at AS timestamptz), CAST(:taken_on AS date),
        CAST(:mapping_hash AS text), CAST(:mapping AS text)
    )
    ON CONFLICT (delivery_id) DO UPDATE SET
        data_kind = excluded.data_kind, site = excluded.site, source = excluded.source,
        delivered_at = excluded.delivered_at, taken_on = excluded.taken_on,
        mapping_hash = excluded.mapping_hash, mapping = excluded.mapping
    WHERE delivery.status = 'pending'
    RETURNING delivery_id
"""
_ADD_BATCHES: Final = """
    INSERT INTO delivery_batch (delivery_id, number, batch_id, first_row, rows)
    SELECT :delivery_id, batch.* FROM jsonb_to_recordset(CAST(:batches AS jsonb))
        AS batch (number integer, batch_id text, first_row integer, rows integer)
"""
_LIST: Final = """
    SELECT to_jsonb(line) - 'mapping' FROM (
        SELECT delivery.*, coalesce(sum(rows), 0) AS rows
        FROM delivery LEFT JOIN delivery_batch USING (delivery_id)
        GROUP BY delivery.delivery_id ORDER BY delivered_at DESC, delivery_id LIMIT :limit
    ) AS line
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a run brought: `delivered_at` is when the run started (ISO 8601), `taken_on` when the site took the data."""

    delivery_id: str
    data_kind: DataKind
    site: str
    source: str
    delivered_at: str
    taken_on: date | None = None
    status: Status = "pending"


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A batch of a delivery: its number, its rows as delivered, and the number of the first of them; both from 1."""

    number: int
    batch_id: str
    first_row: int
    rows: int


class UsedMapping(TypedDict):
    """The mapping of a source: its text, and the hash of that."""

    hash: str
    text: str


def scope(data_kind: DataKind, site: str) -> str:
    """Keeps equal rows and batches of different sites distinct; empty for real data of the default site."""
    return "" if (data_kind, site) == ("real", DEFAULT_SITE) else f"{data_kind}/{site}"


def register(
    clean: Connection,
    delivery: Delivery,
    batches: Iterable[DeliveredBatch],
    mapping: UsedMapping | None = None,
) -> None:
    """Write a pending delivery, within a transaction. Registering it again replaces it.

    `mapping` is what its rows were read by, if anything.

    Raises `InvalidRequest` if its check has decided already: the name of an execution must not be used twice.
    """
    lines = [
        {"number": batch.number, "batch_id": batch.batch_id, "first_row": batch.first_row, "rows": batch.rows}
        for batch in batches
    ]
    registered = clean.run(
        _REGISTER,
        delivery_id=delivery.delivery_id,
        data_kind=delivery.data_kind,
        site=delivery.site,
        source=delivery.source,
        delivered_at=delivery.delivered_at,
        taken_on=delivery.taken_on and delivery.taken_on.isoformat(),
        mapping_hash=mapping["hash"] if mapping else None,
        mapping=mapping["text"] if mapping else None,
    )
    if not registered:
        raise InvalidRequest(
            f"an earlier execution was named {delivery.delivery_id!r} too, and its delivery has been decided on;"
            " start the execution under another name"
        )
    clean.run("DELETE FROM delivery_batch WHERE delivery_id = :delivery_id", delivery_id=delivery.delivery_id)
    clean.run(_ADD_BATCHES, delivery_id=delivery.delivery_id, batches=json.dumps(lines))


def find(clean: Connection, ids: Sequence[str]) -> list[Delivery]:
    """The deliveries with these ids, oldest first."""
    return _deliveries(clean.run(f"SELECT {_COLUMNS} FROM delivery WHERE {_IS_ONE} {_ORDER}", ids=list(ids)))


def to_clean(clean: Connection, kind: DataKind) -> list[Delivery]:
    """The deliveries of that kind that were neither refused nor withdrawn, oldest first."""
    return _deliveries(
        clean.run(
            f"SELECT {_COLUMNS} FROM delivery WHERE data_kind = :kind AND status IN ('pending', 'accepted') {_ORDER}",
            kind=kind,
        )
    )


def kind_to_clean(clean: Connection) -> DataKind:
    """`real` if there is a real delivery that was neither refused nor withdrawn, otherwise `synthetic`."""
    ((real,),) = clean.run(
        "SELECT EXISTS (SELECT FROM delivery WHERE data_kind = 'real' AND status IN ('pending', 'accepted'))"
    )
    return "real" if real else "synthetic"


def before(clean: Connection, delivery: Delivery) -> list[Delivery]:
    """The accepted deliveries of the same site and data kind that came before this one, oldest first."""
    return _deliveries(
        clean.run(
            f"SELECT {_COLUMNS} FROM delivery WHERE status = 'accepted' AND data_kind = :kind AND site = :site"
            " AND (delivered_at, delivery_id) < (CAST(:delivered_at AS timestamptz), CAST(:delivery_id AS text))"
            f" {_ORDER}",
            kind=delivery.data_kind,
            site=delivery.site,
            delivered_at=delivery.delivered_at,
            delivery_id=delivery.delivery_id,
        )
    )


def batches_of(clean: Connection, ids: Sequence[str]) -> dict[str, list[DeliveredBatch]]:
    """The batches of each of these deliveries, in order."""
    found: dict[str, list[DeliveredBatch]] = {delivery_id: [] for delivery_id in ids}
    lines = clean.run(
        f"SELECT delivery_id, number, batch_id, first_row, rows FROM delivery_batch WHERE {_IS_ONE}"
        " ORDER BY delivery_id, number",
        ids=list(ids),
    )
    for delivery_id, *batch in lines:
        found[delivery_id].append(DeliveredBatch(*batch))
    return found


def set_status(clean: Connection, ids: Sequence[str], status: Status, reason: str) -> None:
    """Record a decision on the deliveries."""
    clean.run(
        f"UPDATE delivery SET status = :status, reason = :reason, decided_at = now() WHERE {_IS_ONE}",
        ids=list(ids),
        status=status,
        reason=reason,
    )


def set_comparison(clean: Connection, delivery_id: str, comparison: Any) -> None:
    """Record how the delivery differs from those before it; `comparison` is a JSON document."""
    clean.run(
        "UPDATE delivery SET comparison = CAST(:comparison AS jsonb) WHERE delivery_id = :delivery_id",
        delivery_id=delivery_id,
        comparison=json.dumps(comparison, allow_nan=False),
    )


def read(clean: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest deliveries as JSON objects, newest first; empty before the first run creates the table."""
    ((exists,),) = clean.run("SELECT to_regclass('delivery') IS NOT NULL")
    return [line for (line,) in clean.run(_LIST, limit=limit)] if exists else []


def newest_accepted(clean: Connection, kind: DataKind, limit: int) -> list[Delivery]:
    """The newest accepted deliveries of a data kind, oldest first."""
    found = clean.run(
        f"SELECT {_COLUMNS} FROM delivery WHERE data_kind = :kind AND status = 'accepted'"
        " ORDER BY delivery.delivered_at DESC, delivery_id DESC LIMIT :limit",
        kind=kind,
        limit=limit,
    )
    return _deliveries(reversed(found))


def accepted(clean: Connection, kind: DataKind) -> list[dict[str, Any]]:
    """The accepted deliveries of a data kind as JSON objects, oldest first, for the data report."""
    lines = clean.run(
        "SELECT delivery_id, site, CAST(delivered_at AS text), CAST(taken_on AS text), comparison FROM delivery"
        f" WHERE status = 'accepted' AND data_kind = :kind {_ORDER}",
        kind=kind,
    )
    names = ("delivery", "site", "delivered_at", "taken_on", "comparison")
    return [dict(zip(names, line, strict=True)) for line in lines]


def _deliveries(lines: Iterable[Sequence[Any]]) -> list[Delivery]:
    return [Delivery(*line) for line in lines]
