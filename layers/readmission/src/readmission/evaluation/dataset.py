"""Reads the clean rows from Postgres as tables for training and evaluation."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pg8000.native import Connection

from readmission.domain.contract import CLASSES, ENDS_OF_CARE
from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS
from readmission.domain.groups import ENDED, GROUPS, age_band
from readmission.domain.payloads import DataKind
from readmission.domain.splits import SPLITS, Split
from readmission.errors import NoTrainingData, SplitsOverlap
from readmission.storage.database import set_local, transaction

TARGET: Final = "readmitted"
_ALL: Final = 2**62
# The reason in `excluded` for stays discharged too recently to know whether a readmission follows.
NOT_DUE: Final = "label not due yet"
_USED: Final = f"""
    data_kind = current_setting('readmission.data_kind') AND label_due
    AND discharge_disposition_id NOT IN ({", ".join(map(str, ENDED))})
"""
# A patient is in one split, so the filter leaves no gap in a history. Empty: all splits.
_IN_SPLIT: Final = "current_setting('readmission.split') IN ('', split)"
# What is read of a stay: what `read` returns and the export to Parquet holds.
STAY: Final = ("split", "site", "patient_nbr", *GROUPS, *INPUTS, TARGET)
# The order makes training deterministic.
_READ: Final = f"""
    COPY (
        SELECT {", ".join(STAY)} FROM encounters WHERE {_USED} AND {_IN_SPLIT} ORDER BY encounter_id, site
    ) TO STDOUT WITH (FORMAT csv, HEADER)
"""
# Numbers of encounters tell the order in time within a site only, so the newest are the same share of each site's. The
# view is queried by patient: as a whole, it would sort every stay there is for the sake of the newest.
# OFFSET 0 keeps Postgres from turning that into a join with the whole view.
_READ_NEWEST: Final = f"""
    COPY (
        WITH newest AS (
            SELECT site, encounter_id FROM (
                SELECT site, encounter_id,
                    row_number() OVER (PARTITION BY site ORDER BY encounter_id DESC)::float8
                    / count(*) OVER (PARTITION BY site) AS age
                FROM diabetes_clean WHERE {_USED}
            ) AS aged ORDER BY age, site LIMIT current_setting('readmission.newest')::bigint
        ),
        since AS MATERIALIZED (SELECT site, min(encounter_id) AS encounter_id FROM newest GROUP BY site),
        patient AS MATERIALIZED (
            SELECT DISTINCT site, patient_nbr, since.encounter_id AS since FROM diabetes_clean JOIN since USING (site)
            WHERE {_USED} AND {_IN_SPLIT} AND diabetes_clean.encounter_id >= since.encounter_id
        )
        SELECT {", ".join(f"stay.{name}" for name in STAY)} FROM patient CROSS JOIN LATERAL (
            SELECT * FROM encounters
            WHERE {_USED} AND encounters.site = patient.site AND encounters.patient_nbr = patient.patient_nbr OFFSET 0
        ) AS stay
        WHERE stay.encounter_id >= patient.since AND {_IN_SPLIT}
        ORDER BY stay.encounter_id, stay.site
    ) TO STDOUT WITH (FORMAT csv, HEADER)
"""
# The order of the view's windows, so that Postgres sorts once and need not hold the rows.
_READ_BY_PATIENT: Final = f"""
    COPY (
        SELECT {", ".join(STAY)} FROM encounters WHERE {_USED} ORDER BY site, patient_nbr, encounter_id
    ) TO STDOUT WITH (FORMAT csv, HEADER)
"""
_COUNT: Final = f"SELECT count(*) FROM diabetes_clean WHERE {_USED}"
_EXCLUDED: Final = """
    SELECT label_due, CASE WHEN discharge_disposition_id = ANY (:ended) THEN discharge_disposition_id END, count(*)
    FROM diabetes_clean WHERE data_kind = :kind GROUP BY 1, 2
"""
_SITES: Final = """
    SELECT site, count(*) FROM diabetes_clean WHERE data_kind = :kind AND label_due GROUP BY site ORDER BY site
"""
_HASHES: Final = """
    COPY (
        SELECT row_hash FROM diabetes_clean WHERE data_kind = current_setting('readmission.data_kind') AND label_due
        ORDER BY encounter_id, site
    ) TO STDOUT
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows, usually of one split.

    `features` is rows x `INPUTS`: numbers as float64 with NaN if unknown, categories as text with "?" if unknown.
    `target` holds `CLASSES`, `patients` numbers the patients (int64), and `groups` has the text
    columns `race`, `gender` and `age_band`.
    """

    features: pd.DataFrame
    target: "pd.Series[str]"
    patients: NDArray[np.int64]
    groups: pd.DataFrame


def load(clean: Connection, kind: DataKind, newest: int = _ALL) -> dict[Split, Part]:
    """The clean rows of that kind by split, without the `excluded` ones.

    Raises `SplitsOverlap` if a patient is in two splits, and `NoTrainingData` if a split lacks a class.
    """
    return parts_of(read(clean, kind, newest), kind)


def parts_of(table: pd.DataFrame, kind: DataKind, site: str | None = None) -> dict[Split, Part]:
    """The rows of the table that `read` returns by split, or those of one site. Raises what `load` raises."""
    table = _of_site(table, site)
    parts = {split: part_of(table[table["split"] == split]) for split in SPLITS}
    if shared := patients_in_two_splits(parts):
        raise SplitsOverlap(f"{shared} patients of the {kind} clean rows are in two splits; clean the rows again")
    for split, part in parts.items():
        _check_classes(part, kind, split, site)
    return parts


def load_split(clean: Connection, kind: DataKind, split: Split, newest: int = _ALL, site: str | None = None) -> Part:
    """The rows of one split as `load` returns them, or those of one site; the other splits are not read.

    Raises `NoTrainingData` as `load` does.
    """
    part = part_of(_of_site(read(clean, kind, newest, split), site))
    _check_classes(part, kind, split, site)
    return part


def _of_site(table: pd.DataFrame, site: str | None) -> pd.DataFrame:
    return table if site is None else table[table["site"] == site]


def _check_classes(part: Part, kind: DataKind, split: Split, site: str | None) -> None:
    if lacking := set(CLASSES) - set(part.target):
        whose = f" of the site {site!r}" if site else ""
        raise NoTrainingData(
            f"the {kind} clean rows{whose} of the {split} split ({len(part.target)}) lack the class"
            f" {', '.join(sorted(lacking))}; ingest and clean more data first"
        )


def read(clean: Connection, kind: DataKind, newest: int = _ALL, split: Split | None = None) -> pd.DataFrame:
    """The clean rows of that kind without the `excluded` ones, ordered by `encounter_id`.

    The columns are split, site, patient number, groups, `INPUTS` and target. `newest` limits the number of rows, of
    which `split` leaves those of one split. If there are several sites, their patients are numbered anew: sites use the
    same numbers for different patients.
    """
    with transaction(clean):
        return read_in_transaction(clean, kind, newest, split)[0]


def read_in_transaction(
    clean: Connection, kind: DataKind, newest: int = _ALL, split: Split | None = None
) -> tuple[pd.DataFrame, str]:
    """`read` for a caller that has started a transaction, and the SHA-256 of what was read."""
    text = io.BytesIO()
    set_local(clean, data_kind=kind, newest=str(newest), split=split or "")
    ((count,),) = clean.run(_COUNT)
    clean.run(_READ if count <= newest else _READ_NEWEST, stream=text)
    content = sha256(text.getbuffer()).hexdigest()
    text.seek(0)
    texts = dict.fromkeys(("split", "site", *GROUPS, *CATEGORIES, TARGET), "str")
    numbers = dict.fromkeys(NUMBERS, "float64")
    table = pd.read_csv(
        text,
        dtype={"patient_nbr": "int64", **texts, **numbers},
        keep_default_na=False,
        na_values={name: [""] for name in NUMBERS},
    )
    if table["site"].nunique() > 1:
        table["patient_nbr"] = table.groupby(["site", "patient_nbr"]).ngroup()
    return table, content


def part_of(rows: pd.DataFrame) -> Part:
    """Some rows of the table that `read` returns."""
    rows = rows.reset_index(drop=True)
    groups = rows[list(GROUPS)].assign(age_band=rows["age_numeric"].map(age_band))
    return Part(rows[list(INPUTS)], rows[TARGET], rows["patient_nbr"].to_numpy(), groups)


def excluded(clean: Connection, kind: DataKind, newest: int = _ALL) -> dict[str, int]:
    """The number of clean rows of that kind that are not used, by reason.

    The reasons are the end of care, a label that is not due yet, and more than `newest` rows. All of these rows
    still count in the patient history of later ones.
    """
    lines = clean.run(_EXCLUDED, kind=kind, ended=list(ENDED))
    counts = {code: count for due, code, count in lines if due}
    found = {reason: sum(counts.get(code, 0) for code in codes) for reason, codes in ENDS_OF_CARE.items()}
    undue = sum(count for due, _, count in lines if not due)
    older = counts.get(None, 0) - newest
    return (
        found
        | ({NOT_DUE: undue} if undue else {})
        | ({f"older than the newest {newest:,}": older} if older > 0 else {})
    )


def sites(clean: Connection, kind: DataKind) -> dict[str, int]:
    """The number of clean rows of that kind by site, without those whose label is not due yet."""
    return dict(clean.run(_SITES, kind=kind))


def patients_in_two_splits(parts: Mapping[Split, Part]) -> int:
    """The number of patients in more than one split; 0, because rows are split by a hash of the patient number."""
    each = np.concatenate([np.unique(part.patients) for part in parts.values()])
    return len(each) - len(np.unique(each))


def rows_hash(clean: Connection, kind: DataKind) -> str:
    """The SHA-256 of all clean rows of that kind whose label is due; empty if there are none.

    It covers the identity and the content of the rows: two versions with the same hash were trained on the same data.
    """
    with transaction(clean):
        return _rows_hash(clean, kind)


@contextmanager
def snapshot(clean: Connection, kind: DataKind) -> Iterator[str]:
    """A transaction that sees the rows as they are at its start; yields their `rows_hash`."""
    with transaction(clean):
        clean.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield _rows_hash(clean, kind)


def copy_by_patient(clean: Connection, stream: IO[bytes]) -> None:
    """Write the rows of the `snapshot` that `read` would return to `stream`, as CSV with a header, by patient."""
    clean.run(_READ_BY_PATIENT, stream=stream)


class _Digest:
    """Hashes what COPY writes to it, line by line, without the line ends."""

    def __init__(self) -> None:
        self._sha256 = sha256()
        self.lines = 0

    def write(self, line: bytes) -> None:
        self._sha256.update(line.removesuffix(b"\n"))
        self.lines += 1

    def hexdigest(self) -> str:
        return self._sha256.hexdigest() if self.lines else ""


def _rows_hash(clean: Connection, kind: DataKind) -> str:
    set_local(clean, data_kind=kind)
    digest = _Digest()
    clean.run(_HASHES, stream=digest)
    return digest.hexdigest()
