"""The model inputs of an encounter, computed by the same functions for training and serving.

An encounter consists of *fields*: the 14 `FEATURES`, which every request contains (their names and encodings are those
of the original project, so that existing requests keep working), the `OPTIONAL` fields and the `PATIENT_HISTORY`. An
unknown field is None. `inputs_of` turns fields into the models' inputs: `NUMBERS` (None if unknown) and `CATEGORIES`
(texts, "?" if unknown).

Excluded on purpose: `encounter_id` and `patient_nbr`, because they reveal the date and with it which stays are at the
end of the file; anything that a later encounter of the patient would change; and race and gender, which the evaluation
uses to compare groups of patients.
"""

from collections.abc import Mapping
from typing import Any, Final

from readmission.domain import icd9
from readmission.domain.contract import AGES, COLUMNS, DRUGS, MISSING, IntegerRange, OneOf, Rule, Text

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

# The range of each feature in a request. The ranges of the counts are the contract's.
FEATURES: Final[Mapping[str, IntegerRange]] = {
    "age_numeric": IntegerRange(0, 120),
    **{name: rule for name in _COUNTS if isinstance(rule := COLUMNS[name], IntegerRange)},
    "max_glu_serum_encoded": IntegerRange(0, 3),
    "a1cresult_encoded": IntegerRange(0, 3),
    "change_encoded": IntegerRange(0, 1),
    "diabetesmed_encoded": IntegerRange(0, 1),
    "num_diabetes_meds": IntegerRange(0, len(DRUGS)),
}

_IDENTIFIERS: Final = ("admission_type_id", "discharge_disposition_id", "admission_source_id")
_TEXTS: Final = ("payer_code", "medical_specialty", "weight")
_DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")
# Drugs given in more than 1 % of the encounters. The others only count towards the numbers of drugs and doses.
DOSED: Final = (
    "insulin",
    "metformin",
    "glipizide",
    "glyburide",
    "pioglitazone",
    "rosiglitazone",
    "glimepiride",
    "repaglinide",
)
OPTIONAL: Final[Mapping[str, Rule]] = {
    **{name: COLUMNS[name] for name in (*_IDENTIFIERS, *_TEXTS, *_DIAGNOSES, *DOSED)},
    "num_doses_up": IntegerRange(0, len(DRUGS)),
    "num_doses_down": IntegerRange(0, len(DRUGS)),
}

# Computed from the patient's *earlier* encounters in this system; `last_` is the previous one. By now it is known
# whether that stay was followed by a readmission within 30 days, but not whether by a later one or none.
_LAST: Final = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
)
# The change of each since the last stay is an input. For visits in the past year, it hints at how long ago that was.
CHANGING: Final = ("num_medications", "number_outpatient", "number_emergency", "number_inpatient", "number_diagnoses")
PATIENT_HISTORY: Final[Mapping[str, Rule]] = {
    "prior_encounters": IntegerRange(0, 1000),
    "prior_early_readmissions": IntegerRange(0, 1000),
    "prior_days_in_hospital": IntegerRange(0, 36500),
    **{f"last_{name}": FEATURES[name] for name in _LAST},
    "last_early_readmission": IntegerRange(0, 1),
    "last_discharge_disposition_id": COLUMNS["discharge_disposition_id"],
    "last_diag_1": COLUMNS["diag_1"],
}

CATEGORIES: Final = (
    *_IDENTIFIERS,
    *_TEXTS,
    *(f"{name}_{part}" for name in _DIAGNOSES for part in ("category", "group")),
    *DOSED,
    "last_discharge_disposition_id",
    "discharge_after_discharge",
    "last_diag_1_group",
)
NUMBERS: Final = (
    *FEATURES,
    "num_doses_up",
    "num_doses_down",
    *icd9.COMORBIDITIES,
    *(name for name, rule in PATIENT_HISTORY.items() if isinstance(rule, IntegerRange) and name not in CATEGORIES),
    "prior_early_share",
    *(f"change_in_{name}" for name in CHANGING),
    "same_diag_1_category",
)
INPUTS: Final = (*NUMBERS, *CATEGORIES)

# The inputs computed from an encounter's own row, with their rules. The patient's history is computed from the other
# rows at query time (the view `encounters`), so it is never out of date.
STORED: Final[Mapping[str, Rule]] = {
    **FEATURES,
    **{name: rule for name, rule in OPTIONAL.items() if name not in _DIAGNOSES},
    **dict.fromkeys(icd9.COMORBIDITIES, IntegerRange(0, 1)),
    **dict.fromkeys((f"{name}_category" for name in _DIAGNOSES), Text(4)),
    **{f"{name}_group": OneOf(frozenset({MISSING, *icd9.GROUPS})) for name in _DIAGNOSES},
}


def features_of(row: Mapping[str, str]) -> dict[str, int]:
    """The 14 features of a valid row of the contract, in the order of `FEATURES`."""
    return {
        "age_numeric": _AGE[row["age"]],
        **{name: int(row[name]) for name in _COUNTS},
        "max_glu_serum_encoded": _MAX_GLU_SERUM[row["max_glu_serum"]],
        "a1cresult_encoded": _A1CRESULT[row["A1Cresult"]],
        "change_encoded": int(row["change"] == "Ch"),
        "diabetesmed_encoded": int(row["diabetesMed"] == "Yes"),
        "num_diabetes_meds": sum(row[drug] != "No" for drug in DRUGS),
    }


def fields_of(row: Mapping[str, str]) -> dict[str, Any]:
    """The 14 features and the `OPTIONAL` fields of a valid row of the contract.

    Columns that no feature needs may be missing from the row; their fields are then left out.
    """
    doses = [row[drug] for drug in DRUGS]
    return {
        **features_of(row),
        **{name: int(row[name]) for name in _IDENTIFIERS if name in row},
        **{
            name: None if row[name] == MISSING else row[name]
            for name in OPTIONAL
            if name in row and name not in _IDENTIFIERS
        },
        "num_doses_up": doses.count("Up"),
        "num_doses_down": doses.count("Down"),
    }


def inputs_of(fields: Mapping[str, Any]) -> dict[str, int | float | str | None]:
    """All `INPUTS` of an encounter; `fields` holds the `FEATURES` and any known `OPTIONAL` and `PATIENT_HISTORY`."""
    known = {name: value for name, value in fields.items() if value is not None and value != MISSING}
    diagnoses = [known[name] for name in _DIAGNOSES if name in known]
    # A comorbidity is absent only if all diagnoses are known: an unknown one could be it.
    complete = len(diagnoses) == len(_DIAGNOSES)
    derived = {**known, **{name: has for name, has in icd9.comorbidities(diagnoses).items() if has or complete}}
    for name, category, group in _PARTS:
        if name in known:
            derived[category], derived[group] = icd9.category(known[name]), icd9.group(known[name])
    derived |= _compared(derived)
    numbers = {name: derived.get(name) for name in NUMBERS}
    return numbers | {name: str(derived.get(name, MISSING)) for name in CATEGORIES}


_PARTS: Final = tuple((name, f"{name}_category", f"{name}_group") for name in (*_DIAGNOSES, "last_diag_1"))
_CHANGES: Final = tuple((name, f"last_{name}", f"change_in_{name}") for name in CHANGING)


def _compared(inputs: Mapping[str, Any]) -> dict[str, int | float | str]:
    """The inputs that compare this stay with the patient's earlier ones, where both values are known."""

    def both(name: str, other: str) -> bool:
        return name in inputs and other in inputs

    compared: dict[str, int | float | str] = {
        change: inputs[name] - inputs[last] for name, last, change in _CHANGES if both(name, last)
    }
    if both("prior_early_readmissions", "prior_encounters") and inputs["prior_encounters"]:
        compared["prior_early_share"] = inputs["prior_early_readmissions"] / inputs["prior_encounters"]
    if both("diag_1_category", "last_diag_1_category"):
        compared["same_diag_1_category"] = int(inputs["diag_1_category"] == inputs["last_diag_1_category"])
    if both("discharge_disposition_id", "last_discharge_disposition_id"):
        compared["discharge_after_discharge"] = (
            f"{inputs['last_discharge_disposition_id']} {inputs['discharge_disposition_id']}"
        )
    return compared
