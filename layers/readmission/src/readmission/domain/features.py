"""What the models see of an encounter: one set of functions, for training and serving alike.

An encounter is described by *fields*: the 14 `FEATURES`, which every request gives (names and encodings are the
original project's, so that its users' requests keep working), `OPTIONAL` ones, and the patient's `HISTORY`; a field
that is not known is None. `inputs_of` makes the models' inputs of them: `NUMBERS` (None where unknown) and
`CATEGORIES` (texts; "?" where unknown).

Left out on purpose: `encounter_id` and `patient_nbr` (they tell the calendar, and thereby which stays end the file);
anything that a later encounter of the patient would change; and race and gender, by which the evaluation tells how the
models do for whom.
"""

from collections.abc import Mapping
from typing import Any, Final

from readmission.domain import icd9
from readmission.domain.contract import AGES, COLUMNS, DRUGS, MISSING, OneOf, Rule, Text, Whole

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

_IDENTIFIERS: Final = ("admission_type_id", "discharge_disposition_id", "admission_source_id")
_TEXTS: Final = ("payer_code", "medical_specialty", "weight")
_DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")
# The drugs that more than 1 % of the encounters have; the others count in the numbers of drugs and doses.
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
    "num_doses_up": Whole(0, len(DRUGS)),
    "num_doses_down": Whole(0, len(DRUGS)),
}

# Of the patient's *earlier* encounters only, those that this system knows; `last_` is the one just before. Whether that
# was followed by a readmission within 30 days is known by now; whether by a later one or none is not.
_LAST: Final = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
)
# Their difference from the last stay is an input; that of the visits in the year before tells how long ago it was.
CHANGING: Final = ("num_medications", "number_outpatient", "number_emergency", "number_inpatient", "number_diagnoses")
HISTORY: Final[Mapping[str, Rule]] = {
    "prior_encounters": Whole(0, 1000),
    "prior_early_readmissions": Whole(0, 1000),
    "prior_days_in_hospital": Whole(0, 36500),
    **{f"last_{name}": FEATURES[name] for name in _LAST},
    "last_early_readmission": Whole(0, 1),
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
    *(name for name, rule in HISTORY.items() if isinstance(rule, Whole) and name not in CATEGORIES),
    "prior_early_share",
    *(f"change_in_{name}" for name in CHANGING),
    "same_diag_1_category",
)
INPUTS: Final = (*NUMBERS, *CATEGORIES)

# The inputs that an encounter's own row makes, with what they may be. The history is made of the patient's other rows
# when it is asked for (the view `encounters`), so that it is never out of date.
STORED: Final[Mapping[str, Rule]] = {
    **FEATURES,
    **{name: rule for name, rule in OPTIONAL.items() if name not in _DIAGNOSES},
    **dict.fromkeys(icd9.COMORBIDITIES, Whole(0, 1)),
    **dict.fromkeys((f"{name}_category" for name in _DIAGNOSES), Text(4)),
    **{f"{name}_group": OneOf(frozenset({MISSING, *icd9.GROUPS})) for name in _DIAGNOSES},
}


def features_of(row: Mapping[str, str]) -> dict[str, int]:
    """The 14 features of a row of the contract that breaks no rule, in the order of `FEATURES`."""
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
    """The 14 features and the `OPTIONAL` fields of a row of the contract that breaks no rule.

    A row need not have the columns of which no feature is made: their fields are left out.
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
    """All `INPUTS` of an encounter's fields: those of `FEATURES`, and of `OPTIONAL` and `HISTORY` what is known."""
    known = {name: value for name, value in fields.items() if value is not None and value != MISSING}
    diagnoses = [known[name] for name in _DIAGNOSES if name in known]
    # One that is not among some of the diagnoses may be among the others.
    whole = len(diagnoses) == len(_DIAGNOSES)
    made = {**known, **{name: has for name, has in icd9.comorbidities(diagnoses).items() if has or whole}}
    for name, category, group in _PARTS:
        if name in known:
            made[category], made[group] = icd9.category(known[name]), icd9.group(known[name])
    made |= _compared(made)
    numbers = {name: made.get(name) for name in NUMBERS}
    return numbers | {name: str(made.get(name, MISSING)) for name in CATEGORIES}


_PARTS: Final = tuple((name, f"{name}_category", f"{name}_group") for name in (*_DIAGNOSES, "last_diag_1"))
_CHANGES: Final = tuple((name, f"last_{name}", f"change_in_{name}") for name in CHANGING)


def _compared(made: Mapping[str, Any]) -> dict[str, int | float | str]:
    """What this stay is against the patient's earlier ones, as far as both are known."""

    def both(name: str, other: str) -> bool:
        return name in made and other in made

    found: dict[str, int | float | str] = {
        change: made[name] - made[last] for name, last, change in _CHANGES if both(name, last)
    }
    if both("prior_early_readmissions", "prior_encounters") and made["prior_encounters"]:
        found["prior_early_share"] = made["prior_early_readmissions"] / made["prior_encounters"]
    if both("diag_1_category", "last_diag_1_category"):
        found["same_diag_1_category"] = int(made["diag_1_category"] == made["last_diag_1_category"])
    if both("discharge_disposition_id", "last_discharge_disposition_id"):
        found["discharge_after_discharge"] = (
            f"{made['last_discharge_disposition_id']} {made['discharge_disposition_id']}"
        )
    return found
