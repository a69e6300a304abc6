"""What the API takes and answers."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from readmission.domain.contract import COLUMNS, DRUGS, Diagnosis, IntegerRange, OneOf, Rule
from readmission.domain.features import DOSED, FEATURES, OPTIONAL, PATIENT_HISTORY
from readmission.serving.explanation import Explanation
from readmission.serving.risk import Band

MAX_ROWS: Final = 1000  # of a batch

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
    **{name: (f"How {name} was given: No, Steady, Up (dose raised) or Down.", "No") for name in DOSED},
    "metformin": ("How metformin was given: No, Steady, Up (dose raised) or Down.", "Steady"),
    "insulin": ("How insulin was given: No, Steady, Up (dose raised) or Down.", "Up"),
    "num_doses_up": ("Of how many of the 23 diabetes drugs the dose was raised.", 1),
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
_RAW: Final = {
    "age": ("Age in years, as UCI's ten-year range.", "[50-60)"),
    "max_glu_serum": ("Glucose serum test in mg/dL; None: not measured.", "None"),
    "A1Cresult": ("HbA1c test in %; None: not measured.", "None"),
    **{name: (f"How {name} was given: No, Steady, Up (dose raised) or Down.", "No") for name in DRUGS},
    "metformin": ("How metformin was given: No, Steady, Up (dose raised) or Down.", "Steady"),
    "insulin": ("How insulin was given: No, Steady, Up (dose raised) or Down.", "Up"),
    "change": ("Diabetes medication changed: Ch yes, No no.", "Ch"),
    "diabetesMed": ("Any diabetes medication prescribed.", "Yes"),
}
# Accepted, so that a row of the file can be sent as it is, and not looked at.
IGNORED: Final = ("encounter_id", "patient_nbr", "race", "gender", "readmitted")
# What the 14 features are made of.
RAW_REQUIRED: Final = tuple(name for name in COLUMNS if name in _RAW or name in FEATURES)
RAW_RULES: Final = {**{name: COLUMNS[name] for name in COLUMNS if name not in IGNORED}, **PATIENT_HISTORY}

EXAMPLE: Final[dict[str, Any]] = {name: example for name, (_, example) in _DESCRIPTIONS.items()}
WHOLE_EXAMPLE: Final[dict[str, Any]] = {**EXAMPLE, **{name: example for name, (_, example) in _OPTIONAL.items()}}
RAW_EXAMPLE: Final[dict[str, Any]] = {
    name: (_RAW.get(name) or _DESCRIPTIONS.get(name) or _OPTIONAL[name])[1] for name in COLUMNS if name not in IGNORED
}


def as_whole(value: Any) -> Any:
    """A text of digits as the number that it is, as in a CSV; anything else as it comes."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


def _kind(rule: Rule) -> Any:
    """The type of a value that keeps to a rule of the contract."""
    if isinstance(rule, IntegerRange):
        return Annotated[int, Field(ge=rule.low, le=rule.high)]
    if isinstance(rule, OneOf):
        return Literal[*sorted(rule.values)]
    if isinstance(rule, Diagnosis):
        return Annotated[str, Field(pattern=rf"^(?:{rule.pattern})$")]
    return Annotated[str, Field(min_length=1, max_length=rule.longest)]


def _raw_kind(rule: Rule) -> Any:
    """The same, of a value that may be a number's text."""
    if not isinstance(rule, IntegerRange):
        return _kind(rule)
    described = _kind(rule) | Annotated[str, Field(pattern="^[0-9]{1,19}$")]
    return Annotated[_kind(rule), BeforeValidator(as_whole, json_schema_input_type=described)]


def _required(kind: Any, description: str, example: Any) -> Any:
    return Annotated[kind, Field(description=description, examples=[example])], ...


def _optional(kind: Any, description: str, example: Any) -> Any:
    """A field that may be left out, or null: unknown."""
    return Annotated[kind | None, Field(description=f"{description} Unknown when left out.", examples=[example])], None


def _raw_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in COLUMNS:
        if name in IGNORED:
            fields[name] = Annotated[Any, Field(description="Accepted, and not used.", examples=["?"])], None
        elif name in RAW_REQUIRED:
            fields[name] = _required(_raw_kind(COLUMNS[name]), *(_RAW.get(name) or _DESCRIPTIONS[name]))
        else:
            fields[name] = _optional(_raw_kind(COLUMNS[name]), *_OPTIONAL[name])
    return fields | {name: _optional(_raw_kind(rule), *_OPTIONAL[name]) for name, rule in PATIENT_HISTORY.items()}


# Strict: of a number's text, a fraction or a boolean nobody knows whether it is what the client meant.
Encounter: Any = create_model(
    "Encounter",
    __config__=ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{**EXAMPLE}, {**WHOLE_EXAMPLE}]}
    ),
    __doc__="One encounter at discharge: 14 fields that every request gives, and what else is known of it.",
    **{name: _required(_kind(rule), *_DESCRIPTIONS[name]) for name, rule in FEATURES.items()},
    **{name: _optional(_kind(rule), *_OPTIONAL[name]) for name, rule in {**OPTIONAL, **PATIENT_HISTORY}.items()},
)

RawEncounter: Any = create_model(
    "RawEncounter",
    __config__=ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{**RAW_EXAMPLE}]}),
    __doc__="One encounter as a row of UCI's diabetic_data.csv, and what is known of the patient's earlier ones."
    " Numbers may be their texts.",
    **_raw_fields(),
)


class Batch(BaseModel):
    """Up to 1,000 encounters, in either form."""

    encounters: Annotated[list[Encounter | RawEncounter], Field(max_length=MAX_ROWS, examples=[[EXAMPLE, RAW_EXAMPLE]])]


class EarlyRisk(BaseModel):
    """The risk of a readmission within 30 days."""

    probability: Annotated[float, Field(ge=0, le=1, description="The probability of <30.", examples=[0.11])]
    band: Annotated[
        Band | None,
        Field(
            description="By percentile: low below 50, moderate from 50, high from 80, very high from 90. Null when the"
            " model does not know its patients' risks.",
            examples=["moderate"],
        ),
    ]
    percentile: Annotated[
        float | None,
        Field(ge=0, le=100, description="The share of the training patients, in %, with a lower risk.", examples=[63]),
    ]


class Forecast(BaseModel):
    """The forecast for one encounter."""

    readmitted: Annotated[str, Field(description="The likeliest class: NO, >30 or <30 (days).", examples=["NO"])]
    probabilities: Annotated[
        dict[str, float],
        Field(description="Of each class; they sum to 1.", examples=[{"<30": 0.11, ">30": 0.35, "NO": 0.54}]),
    ]
    early_risk: Annotated[EarlyRisk, Field(examples=[{"probability": 0.11, "band": "moderate", "percentile": 63}])]


class Answer(BaseModel):
    """Which model answered which request."""

    model_name: Annotated[str, Field(examples=["readmission"])]
    model_version: Annotated[str, Field(examples=["3"])]
    data_kind: Annotated[str, Field(description="What the model learned from: real or synthetic.", examples=["real"])]
    request_id: Annotated[str, Field(description="As in the header x-request-id.", examples=["c6af9ac6-7b61"])]


class Prediction(Answer, Forecast):
    """The forecast for one encounter, and who made it."""

    explanation: Annotated[Explanation | None, Field(description="With `explain=true`: what each field adds.")] = None


class Wrong(BaseModel):
    """What is wrong with a field; never its value."""

    field: Annotated[str, Field(examples=["time_in_hospital"])]
    message: Annotated[str, Field(examples=["must be a whole number from 0 to 365"])]
    code: Annotated[
        str | None, Field(description="The kind of mistake, for clients that translate.", examples=["integer_range"])
    ] = None
    params: Annotated[
        dict[str, int | list[str]] | None,
        Field(description="What the message says in numbers and names.", examples=[{"low": 0, "high": 365}]),
    ] = None


class RowProblem(BaseModel):
    """Why an encounter of a batch has no forecast."""

    detail: Annotated[str, Field(examples=["the encounter cannot be used: time_in_hospital"])]
    errors: Annotated[list[Wrong], Field(examples=[[{"field": "time_in_hospital", "message": "is required"}]])]


class Row(BaseModel):
    """What became of one encounter of a batch: it has a prediction or a problem."""

    index: Annotated[int, Field(ge=0, description="The encounter's place in the request, from 0.", examples=[0])]
    prediction: Forecast | None = None
    problem: RowProblem | None = None


class BatchPrediction(Answer):
    """The answers to a batch, in its order."""

    answered: Annotated[int, Field(description="How many encounters have a prediction.", examples=[1])]
    refused: Annotated[int, Field(description="How many have a problem.", examples=[0])]
    predictions: Annotated[list[Row], Field(examples=[[{"index": 0, "prediction": {"readmitted": "NO"}}]])]


class Health(BaseModel):
    """Whether predictions can be had."""

    status: Annotated[str, Field(examples=["ok"])]
    model_version: Annotated[str, Field(examples=["3"])]


class Reload(BaseModel):
    """What a look at the registry changed."""

    model_version: Annotated[str, Field(examples=["4"])]
    previous_version: Annotated[str | None, Field(examples=["3"])]


class Problem(BaseModel):
    """Why a request was not answered: a problem document (RFC 9457)."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(description="The status's name.", examples=["Unprocessable Content"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["the encounter cannot be used: time_in_hospital"])]
    instance: Annotated[str, Field(description="The request's path.", examples=["/predict"])]
    request_id: Annotated[str, Field(description="As in the header x-request-id.", examples=["c6af9ac6-7b61"])]
    errors: list[Wrong] | None = None
