"""The clean rows as a table for training."""

import io
from dataclasses import dataclass
from typing import Final

import pandas as pd
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
        SELECT split, {", ".join(FEATURES)}, {TARGET} FROM diabetes_clean
        WHERE data_kind = current_setting('readmission.data_kind') ORDER BY encounter_id
    ) TO STDOUT WITH (FORMAT csv, HEADER)
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One split: features (rows x 14, float64) and target (rows, of `CLASSES`)."""

    features: pd.DataFrame
    target: "pd.Series[str]"


def load(clean: Connection, kind: DataKind) -> dict[Split, Part]:
    """Every split of the clean rows of that kind. Raises `NoTrainingData` when one lacks a class."""
    text = io.BytesIO()
    with transaction(clean):
        clean.run("SELECT set_config('readmission.data_kind', :kind, true)", kind=kind)
        clean.run(_READ, stream=text)
    text.seek(0)
    numbers = dict.fromkeys(FEATURES, "float64")
    table = pd.read_csv(text, dtype={"split": "str", TARGET: "str", **numbers}, keep_default_na=False)
    parts: dict[Split, Part] = {}
    for split in SPLITS:
        rows = table[table["split"] == split].reset_index(drop=True)
        if lacking := set(CLASSES) - set(rows[TARGET]):
            raise NoTrainingData(
                f"the {kind} clean rows of the {split} split ({len(rows)}) hold no {', '.join(sorted(lacking))};"
                " ingest and clean more data first"
            )
        parts[split] = Part(rows[list(FEATURES)], rows[TARGET])
    return parts
