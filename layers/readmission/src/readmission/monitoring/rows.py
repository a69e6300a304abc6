"""Reads what the monitor looks at from the database `clean`: the stays of a delivery, and the logged forecasts.

Without pandas, for which the function's layers have no room. All queries work for a user that only reads.
"""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pg8000.native import Connection

from readmission.domain.contract import MISSING
from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS
from readmission.domain.groups import ENDED, GROUPS, age_band
from readmission.evaluation.arrays import Flags, Floats
from readmission.evaluation.reference import Columns
from readmission.pipeline.deliveries import Delivery
from readmission.storage.database import set_local, transaction

_STAY: Final = ("patient_nbr", *GROUPS, *INPUTS, "readmitted", "label_due")
_SAMPLE: Final = 1_000_000
# An encounter belongs to the first accepted delivery that has it, with the newest of its rows: the label of a stay
# often comes with a later delivery. What a delivery has is looked up by its batches and encounters, one by one, however
# many others there are: OFFSET 0, and a count in place of NOT EXISTS, keep Postgres from joining whole tables instead.
_ARRIVED: Final = f"""
    SELECT stay.encounter_id, stay.patient_nbr
    FROM (
        SELECT DISTINCT encounter_id FROM (
            SELECT data_kind, site, encounter_id FROM clean_row WHERE batch_id = ANY (ARRAY(
                SELECT batch_id FROM delivery_batch WHERE delivery_id = current_setting('readmission.delivery')
            ))
            OFFSET 0
        ) AS line
        WHERE data_kind = current_setting('readmission.data_kind') AND site = current_setting('readmission.site')
    ) AS own
    CROSS JOIN LATERAL (
        SELECT encounter_id, patient_nbr FROM diabetes_clean
        WHERE data_kind = current_setting('readmission.data_kind') AND site = current_setting('readmission.site')
        AND encounter_id = own.encounter_id AND discharge_disposition_id NOT IN ({", ".join(map(str, ENDED))})
        AND (current_setting('readmission.unseen') = 'off' OR split = 'test')
        OFFSET 0
    ) AS stay
    WHERE (
        SELECT count(*) FROM clean_row AS other
        WHERE other.data_kind = current_setting('readmission.data_kind')
        AND other.site = current_setting('readmission.site') AND other.encounter_id = own.encounter_id
        AND other.batch_id = ANY (ARRAY(
            SELECT batch_id FROM delivery_batch JOIN delivery USING (delivery_id) WHERE status = 'accepted'
            AND (delivered_at, delivery_id) < (
                CAST(current_setting('readmission.delivered_at') AS timestamptz),
                current_setting('readmission.delivery')
            )
        ))
    ) = 0
"""
# Patients are looked up by a list of their numbers: as a whole the view sorts every stay there is.
_STAYS: Final = f"""
    COPY (
        WITH arrived AS MATERIALIZED ({_ARRIVED}),
        patient AS MATERIALIZED (
            SELECT DISTINCT patient_nbr FROM arrived
            WHERE mod(abs(hashint8extended(patient_nbr, 0) / 2), {_SAMPLE}) < {_SAMPLE}
                * current_setting('readmission.newest')::float8 / greatest((SELECT count(*) FROM arrived), 1)
        )
        SELECT {", ".join(f"stay.{name}" for name in _STAY)} FROM encounters AS stay
        WHERE stay.data_kind = current_setting('readmission.data_kind')
        AND stay.site = current_setting('readmission.site')
        AND stay.patient_nbr = ANY (ARRAY(SELECT patient_nbr FROM patient))
        AND stay.encounter_id IN (SELECT encounter_id FROM arrived)
        ORDER BY stay.encounter_id
    ) TO STDOUT WITH (FORMAT csv)
"""
# Without the view, no release that logs forecasts has migrated the database yet, or none that knows outcomes.
_FORECASTS: Final = """
    SELECT *, CAST(NULL AS text) AS readmitted, CAST(NULL AS timestamptz) AS known_at,
        CAST(answered_at AT TIME ZONE 'UTC' AS date) AS discharged_on
    FROM prediction
"""
_WINDOWS: Final = """
    SELECT model_version, (CAST(answered_at AT TIME ZONE 'UTC' AS date) - DATE '1970-01-01') / CAST(:days AS integer),
        CAST(count(*) AS integer)
    FROM prediction WHERE model_name = :model_name AND answered_at >= now() - CAST(:since AS interval)
    GROUP BY 1, 2 ORDER BY 2 DESC, 1 LIMIT :limit
"""
# A patient may be asked for again and again: the newest forecast of an encounter counts. A label counts as the truth
# once it is due, so that early readmissions, which are known sooner, do not count before the others do.
_LOGGED: Final = """
    COPY (
        SELECT one.inputs, one.p_early, coalesce(one.patient_key, one.request_id || '/' || one.position),
            coalesce(stay.race, '?'), coalesce(stay.gender, '?'), one.readmitted, CASE WHEN one.readmitted IS NOT NULL
                AND one.discharged_on + due.days <= CAST(now() AT TIME ZONE 'UTC' AS date)
                AND (
                    one.readmitted = '<30'
                    OR CAST(one.known_at AT TIME ZONE 'UTC' AS date) >= one.discharged_on + due.days
                )
                THEN 't' ELSE 'f' END
        FROM (
            SELECT DISTINCT ON (coalesce(site || '/' || encounter_id, request_id || '/' || position)) *
            FROM ({forecasts}) AS forecast
            WHERE model_name = current_setting('readmission.model_name')
            AND model_version = current_setting('readmission.version')
            AND answered_at >= CAST(current_setting('readmission.since') AS timestamptz)
            AND answered_at < CAST(current_setting('readmission.until') AS timestamptz)
            AND mod(abs(hashtextextended(coalesce(patient_key, request_id), 0) / 2), {sample})
                < CAST(current_setting('readmission.share') AS float8) * {sample}
            ORDER BY coalesce(site || '/' || encounter_id, request_id || '/' || position), answered_at DESC
        ) AS one
        CROSS JOIN (SELECT CAST(current_setting('readmission.label_due_days') AS integer) AS days) AS due
        LEFT JOIN diabetes_clean AS stay
            ON stay.data_kind = one.data_kind AND stay.site = one.site AND stay.encounter_id = one.encounter_id
        ORDER BY one.request_id, one.position
    ) TO STDOUT WITH (FORMAT csv)
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some stays; each array has one entry per row.

    `columns` are the inputs, `groups` the race, gender and age band ("?" if unknown), `patients` numbers of the
    patients. `early` is whether the label is a readmission within 30 days, and `due` whether it counts as the truth.
    `logged` are the forecasts of early readmission that were answered; None for rows that are still to be scored.
    """

    columns: Columns
    groups: Mapping[str, NDArray[Any]]
    patients: NDArray[np.int64]
    early: Flags
    due: Flags
    logged: Floats | None = None

    def __len__(self) -> int:
        return len(self.patients)


@dataclass(frozen=True, slots=True)
class Days:
    """The forecasts that a version answered in some days: `number` counts windows of `days` days since 1970."""

    version: str
    number: int
    days: int
    forecasts: int

    @property
    def first(self) -> "np.datetime64":
        return np.datetime64(self.number * self.days, "D")

    @property
    def end(self) -> "np.datetime64":
        """The day after the last one."""
        return np.datetime64((self.number + 1) * self.days, "D")


def of_delivery(clean: Connection, delivery: Delivery, limit: int, *, unseen: bool) -> Rows:
    """The stays that came first with this delivery, without those after which nobody can be readmitted.

    With `unseen`, only those of the test split. Of more than about `limit` rows, a sample of whole patients.
    """
    text = io.BytesIO()
    with transaction(clean):
        # Postgres knows little of these tables, takes the encounters for a handful, and would compare each with each.
        # What has to be looked up one by one, still is.
        clean.run("SET LOCAL enable_nestloop = off")
        set_local(
            clean,
            delivery=delivery.delivery_id,
            delivered_at=delivery.delivered_at,
            data_kind=delivery.data_kind,
            site=delivery.site,
            newest=str(limit),
            unseen="on" if unseen else "off",
        )
        clean.run(_STAYS, stream=text)
    table = dict(zip(_STAY, _transposed(text, len(_STAY)), strict=True))
    columns: dict[str, NDArray[Any]] = {
        name: np.array([float(value) if value else np.nan for value in table[name]], np.float64) for name in NUMBERS
    }
    columns |= {name: _texts(table[name]) for name in CATEGORIES}
    return Rows(
        columns,
        _groups(table["race"], table["gender"], columns["age_numeric"]),
        np.array([int(value) for value in table["patient_nbr"]], np.int64),
        np.array([value == "<30" for value in table["readmitted"]], np.bool_),
        np.array([value == "t" for value in table["label_due"]], np.bool_),
    )


def windows_of_days(clean: Connection, model_name: str, days: int, limit: int) -> list[Days]:
    """The newest windows of so many days in which versions of the model answered forecasts, newest first."""
    ((exists,),) = clean.run("SELECT to_regclass('prediction') IS NOT NULL")
    if not exists:
        return []
    found = clean.run(_WINDOWS, model_name=model_name, days=days, since=f"{days * (limit + 1)} days", limit=limit)
    return [Days(version, number, days, count) for version, number, count in found]


def of_days(clean: Connection, model_name: str, window: Days, limit: int, label_due_days: int) -> Rows:
    """The logged forecasts of a window: the newest of each encounter. Of more than `limit`, a sample of patients."""
    ((known,),) = clean.run("SELECT to_regclass('forecast_outcome') IS NOT NULL")
    text = io.BytesIO()
    with transaction(clean):
        set_local(
            clean,
            model_name=model_name,
            version=window.version,
            since=f"{window.first}T00:00:00Z",
            until=f"{window.end}T00:00:00Z",
            share=str(limit / max(window.forecasts, 1)),
            label_due_days=str(label_due_days),
        )
        forecasts = "SELECT * FROM forecast_outcome" if known else _FORECASTS
        clean.run(_LOGGED.format(forecasts=forecasts, sample=_SAMPLE), stream=text)
    inputs, early, patients, races, genders, labels, due = _transposed(text, 7)
    asked = [json.loads(one) for one in inputs]
    columns: dict[str, NDArray[Any]] = {
        name: np.array([_number(one.get(name)) for one in asked], np.float64) for name in NUMBERS
    }
    columns |= {name: _texts([str(one.get(name) or MISSING) for one in asked]) for name in CATEGORIES}
    numbers = {key: number for number, key in enumerate(dict.fromkeys(patients))}
    return Rows(
        columns,
        _groups(races, genders, columns["age_numeric"]),
        np.array([numbers[key] for key in patients], np.int64),
        np.array([label == "<30" for label in labels], np.bool_),
        np.array([value == "t" for value in due], np.bool_),
        np.array([float(value) for value in early], np.float64),
    )


def _transposed(text: io.BytesIO, columns: int) -> list[Sequence[str]]:
    text.seek(0)
    lines = list(csv.reader(io.TextIOWrapper(text, newline="")))
    return list(zip(*lines, strict=True)) if lines else [()] * columns


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _texts(values: Sequence[str]) -> NDArray[Any]:
    # Each text once: there are few, in hundreds of thousands of cells.
    return np.array([sys.intern(value) for value in values], dtype=object)


def _groups(races: Sequence[str], genders: Sequence[str], ages: Floats) -> dict[str, NDArray[Any]]:
    bands = [MISSING if np.isnan(age) else age_band(age) for age in ages.tolist()]
    return {"race": _texts(races), "gender": _texts(genders), "age": _texts(bands)}
