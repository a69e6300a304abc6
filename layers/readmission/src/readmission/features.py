"""The features the models see: one function from an encounter's fields to numbers, for training and serving alike.

Names and encodings are the original project's, so that its users' requests keep working.
"""

from collections.abc import Mapping
from typing import Final

from readmission.contract import AGES, COLUMNS, DRUGS, Whole

_AGE: Final = {age: 10 * decade + 5 for decade, age in enumerate(AGES)}
_MAX_GLU_SERUM: Final = {"None": 0, "Norm": 1, ">200": 2, ">300": 3}
_A1CRESULT: Final = {"None": 0, "Norm": 1, ">7": 2, ">8": 3}

_COUNTS: Final = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
)

# Each feature with the range a request may give it. The counts' ranges are the contract's.
FEATURES: Final[Mapping[str, Whole]] = {
    "age_numeric": Whole(0, 120),
    **{name: rule for name in _COUNTS if isinstance(rule := COLUMNS[name], Whole)},
    "max_glu_serum_encoded": Whole(0, 3),
    "a1cresult_encoded": Whole(0, 3),
    "change_encoded": Whole(0, 1),
    "diabetesmed_encoded": Whole(0, 1),
    "num_diabetes_meds": Whole(0, len(DRUGS)),
}


def features_of(row: Mapping[str, str]) -> dict[str, int]:
    """The 14 features of a row of the contract that has no `violations`, in the order of `FEATURES`."""
    return {
        "age_numeric": _AGE[row["age"]],
        **{name: int(row[name]) for name in _COUNTS},
        "max_glu_serum_encoded": _MAX_GLU_SERUM[row["max_glu_serum"]],
        "a1cresult_encoded": _A1CRESULT[row["A1Cresult"]],
        "change_encoded": int(row["change"] == "Ch"),
        "diabetesmed_encoded": int(row["diabetesMed"] == "Yes"),
        "num_diabetes_meds": sum(row[drug] != "No" for drug in DRUGS),
    }
