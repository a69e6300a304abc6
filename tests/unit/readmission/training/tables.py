"""Synthetic encounters in the form of `dataset.read`, without a database; earlier stays are unknown."""

import pandas as pd
from readmission.domain.contract import NAMES
from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS, fields_of, inputs_of
from readmission.domain.splits import split_of
from readmission.pipeline import synthetic


def encounters(count: int, seed: int = 1) -> pd.DataFrame:
    """`count` rows of split, patient, groups, `INPUTS` and target."""
    rows = [dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(count, seed)]
    table = pd.DataFrame([inputs_of(fields_of(row)) for row in rows], columns=list(INPUTS))
    table = table.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "str"))
    for name in ("race", "gender", "readmitted"):
        table[name] = pd.Series([row[name] for row in rows], dtype="str")
    table["patient_nbr"] = [int(row["patient_nbr"]) for row in rows]
    table["split"] = pd.Series([split_of(row["patient_nbr"]) for row in rows], dtype="str")
    return table
