"""What the API takes and answers."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from readmission.contract import OneOf, Rule, Whole
from readmission.features import DOSED, FEATURES, HISTORY, OPTIONAL
from readmission.serving.explanation import Explanation

_DESCRIPTIONS: Final = {
    "age_numeric": ("Age in years; the middle of the range where only that is known: [50-60) is 55.", 55),
    "time_in_hospital": ("Days between admission and discharge.", 3),
    "num_lab_procedures": ("Lab tests during the stay.", 45),
    "num_procedures": ("Procedures other than lab tests during the stay.", 1),
    "num_medications": ("Distinct drugs given during the stay.", 15),
    "number_outpatient": ("Outpatient visits in the year before.", 0),
    "number_emergency": ("Emergency visits in the year before.", 0),
    "number_inpatient": ("Inpatient stays in the year before.", 0),
    "number_diagnoses": ("Diagnoses entered.", 9),
    "max_glu_serum_encoded": ("Glucose serum test: 0 not measured, 1 normal, 2 over 200, 3 over 300 mg/dL.", 0),
    "a1cresult_encoded": ("HbA1c test: 0 not measured, 1 normal, 2 over 7 %, 3 over 8 %.", 0),
    "change_encoded": ("Diabetes medication changed: 0 no, 1 yes.", 1),
    "diabetesmed_encoded": ("Any diabetes medication prescribed: 0 no, 1 yes.", 1),
    "num_diabetes_meds": ("How many of the 23 diabetes drugs are given.", 2),
}
_OPTIONAL: Final = {
    "admission_type_id": (
        "How the patient was admitted: 1 emergency, 2 urgent, 3 elective …, as UCI's IDs_mapping.csv.",
        1,
    ),
    "discharge_disposition_id": ("Where the patient went: 1 home, 3 nursing facility …, as UCI's IDs_mapping.csv.", 1),
    "admission_source_id": ("Where the patient came from: 7 emergency room …, as UCI's IDs_mapping.csv.", 7),
    "payer_code": ("Who pays: MC Medicare, MD Medicaid, SP self-pay …", "MC"),
    "medical_specialty": ("The admitting physician's, as UCI spells it.", "InternalMedicine"),
    "weight": ("Weight band, as UCI writes it; recorded in 3 % of its stays.", "[75-100)"),
    "diag_1": ("Main diagnosis, ICD-9-CM.", "428"),
    "diag_2": ("Second diagnosis, ICD-9-CM.", "250.83"),
    "diag_3": ("Third diagnosis, ICD-9-CM.", "403"),
    **{name: (f"How {name} was given: No, Steady, Up (dose raised) or Down.", "Steady") for name in DOSED},
    "num_doses_up": ("Of how many of the 23 diabetes drugs the dose was raised.", 0),
    "num_doses_down": ("Of how many of the 23 diabetes drugs the dose was lowered.", 0),
    "prior_encounters": ("Earlier stays of this patient that are on record here.", 2),
    "prior_early_readmissions": ("How many of them were followed by another within 30 days.", 1),
    "prior_days_in_hospital": ("Their days in hospital, together.", 9),
    "last_time_in_hospital": ("The stay before this: its days.", 4),
    "last_num_lab_procedures": ("The stay before this: its lab tests.", 40),
    "last_num_medications": ("The stay before this: its drugs.", 14),
    "last_number_outpatient": ("The stay before this: outpatient visits in the year before it.", 0),
    "last_number_emergency": ("The stay before this: emergency visits in the year before it.", 0),
    "last_number_inpatient": ("The stay before this: inpatient stays in the year before it.", 1),
    "last_number_diagnoses": ("The stay before this: its diagnoses.", 9),
    "last_early_readmission": ("Whether another stay followed the one before this within 30 days: 0 no, 1 yes.", 0),
    "last_discharge_disposition_id": ("The stay before this: where the patient went.", 1),
    "last_diag_1": ("The stay before this: its main diagnosis, ICD-9-CM.", "428"),
}
EXAMPLE: Final[dict[str, int]] = {name: example for name, (_, example) in _DESCRIPTIONS.items()}
WHOLE_EXAMPLE: Final[dict[str, Any]] = {**EXAMPLE, **{name: example for name, (_, example) in _OPTIONAL.items()}}


def _field(name: str) -> Any:
    rule = FEATURES[name]
    description, example = _DESCRIPTIONS[name]
    return Annotated[int, Field(ge=rule.low, le=rule.high, description=description, examples=[example])], ...


def _optional(name: str, rule: Rule) -> Any:
    """A field that may be left out, or null: unknown."""
    description, example = _OPTIONAL[name]
    if isinstance(rule, Whole):
        kind: Any = Annotated[int, Field(ge=rule.low, le=rule.high)]
    elif isinstance(rule, OneOf):
        kind = Literal[*sorted(rule.values)]
    else:
        kind = Annotated[str, Field(min_length=1, max_length=rule.longest)]
    return Annotated[kind | None, Field(description=f"{description} Unknown when left out.", examples=[example])], None


Encounter: Any = create_model(
    "Encounter",
    __config__=ConfigDict(extra="forbid", json_schema_extra={"examples": [{**EXAMPLE}, {**WHOLE_EXAMPLE}]}),
    __doc__="One encounter at discharge: 14 fields that every request gives, and what else is known of it.",
    **{name: _field(name) for name in FEATURES},
    **{name: _optional(name, rule) for name, rule in {**OPTIONAL, **HISTORY}.items()},
)


class Prediction(BaseModel):
    """The forecast for one encounter."""

    readmitted: Annotated[str, Field(description="The likeliest class: NO, >30 or <30 (days).", examples=["NO"])]
    probabilities: Annotated[
        dict[str, float],
        Field(description="Of each class; they sum to 1.", examples=[{"<30": 0.11, ">30": 0.35, "NO": 0.54}]),
    ]
    model_name: Annotated[str, Field(examples=["readmission"])]
    model_version: Annotated[str, Field(examples=["3"])]
    data_kind: Annotated[str, Field(description="What the model learned from: real or synthetic.", examples=["real"])]
    explanation: Annotated[Explanation | None, Field(description="With `explain=true`: what each field adds.")] = None


class Health(BaseModel):
    """Whether predictions can be had."""

    status: Annotated[str, Field(examples=["ok"])]
    model_version: Annotated[str, Field(examples=["3"])]


class Reload(BaseModel):
    """What a look at the registry changed."""

    model_version: Annotated[str, Field(examples=["4"])]
    previous_version: Annotated[str | None, Field(examples=["3"])]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
