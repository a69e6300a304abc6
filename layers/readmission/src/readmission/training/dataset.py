"""The clean rows as a table for training."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pg8000.native import Connection

from readmission.contract import CLASSES
from readmission.database import transaction
from readmission.errors import NoTrainingData
from readmission.features import FEATURES
from readmission.payloads import DataKind
from readmission.splits import SPLITS, Split

TARGET: Final = "readmitted"
# Ordered, so that the same rows train the same model.
_READ: Final = f"""
    COPY (
        SELECT split, patient_nbr, race, gender, {", ".join(FEATURES)}, {TARGET} FROM diabetes_clean
        WHERE data_kind = current_setting('readmission.data_kind') ORDER BY encounter_id
    ) TO STDOUT WITH (FORMAT csv, HEADER)
"""


# Which rows, and in which state: a version that learned from the same rows has the same hash.
_HASH: Final = """
    SELECT coalesce(encode(sha256(string_agg(row_hash, '' ORDER BY encounter_id)::bytea), 'hex'), '')
    FROM diabetes_clean WHERE data_kind = :kind
"""
_GROUPS: Final = ("race", "gender")
_AGE_BANDS: Final = ((0, 40, "under 40"), (40, 60, "40 to 59"), (60, 80, "60 to 79"), (80, 200, "80 and over"))


@dataclass(frozen=True, slots=True)
class Part:
    """One split, all of the same rows.

    `features` (rows x 14, float64), `target` (of `CLASSES`), `patients` (their numbers, int64) and `groups` (texts
    `race`, `gender`, `age_band`).
    """

    features: pd.DataFrame
    target: "pd.Series[str]"
    patients: NDArray[np.int64]
    groups: pd.DataFrame


def load(clean: Connection, kind: DataKind) -> dict[Split, Part]:
    """Every split of the clean rows of that kind. Raises `NoTrainingData` when one lacks a class."""
    text = io.BytesIO()
    with transaction(clean):
        clean.run("SELECT set_config('readmission.data_kind', :kind, true)", kind=kind)
        clean.run(_READ, stream=text)
    text.seek(0)
    texts = dict.fromkeys(("split", *_GROUPS, TARGET), "str")
    numbers = dict.fromkeys(FEATURES, "float64")
    table = pd.read_csv(text, dtype={"patient_nbr": "int64", **texts, **numbers}, keep_default_na=False)
    parts: dict[Split, Part] = {}
    for split in SPLITS:
        rows = table[table["split"] == split].reset_index(drop=True)
        if lacking := set(CLASSES) - set(rows[TARGET]):
            raise NoTrainingData(
                f"the {kind} clean rows of the {split} split ({len(rows)}) hold no {', '.join(sorted(lacking))};"
                " ingest and clean more data first"
            )
        groups = rows[list(_GROUPS)].assign(age_band=rows["age_numeric"].map(_age_band))
        parts[split] = Part(rows[list(FEATURES)], rows[TARGET], rows["patient_nbr"].to_numpy(), groups)
    return parts


def patients_in_two_splits(parts: Mapping[Split, Part]) -> int:
    """How many patients stand in more than one split: none, as they are split by a hash of their number."""
    each = np.concatenate([np.unique(part.patients) for part in parts.values()])
    return len(each) - len(np.unique(each))


def rows_hash(clean: Connection, kind: DataKind) -> str:
    """SHA-256 of all clean rows of that kind; empty when there are none."""
    ((digest,),) = clean.run(_HASH, kind=kind)
    return str(digest)


def _age_band(age: float) -> str:
    return next(name for low, high, name in _AGE_BANDS if low <= age < high)
