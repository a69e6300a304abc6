"""The schemas of requests and answers."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from readmission.domain.contract import (
    COLUMNS,
    DIAG_VERSION,
    DRUGS,
    MISSING,
    NOT_MEASURED,
    TESTS,
    VERSIONS,
    Diagnosis,
    IntegerRange,
    OneOf,
    Rule,
    SiteName,
)
from readmission.domain.features import DOSED, FEATURES, OPTIONAL, PATIENT_HISTORY
from readmission.domain.jobs import DEFAULT_CHUNK_ROWS, MAX_CHUNK_ROWS, Explain
from readmission.http.bodies import MAX_ROWS
from readmission.serving.explanation import Explanation
from readmission.serving.risk import Band

_DESCRIPTIONS: Final = {
    "age_numeric": ("Age in years. If only a range is known, its middle: 55 for [50-60).", 55),
    "time_in_hospital": ("Days between admission and discharge.", 3),
    "num_lab_procedures": ("Lab tests during the stay.", 45),
    "num_procedures": ("Procedures other than lab tests during the stay.", 1),
    "num_medications": ("Distinct drugs given during the stay.", 15),
    "number_outpatient": ("Outpatient visits in the year before the encounter.", 0),
    "number_emergency": ("Emergency visits in the year before the encounter.", 0),
    "number_inpatient": ("Inpatient stays in the year before the encounter.", 0),
    "number_diagnoses": ("Number of diagnoses recorded.", 9),
    "max_glu_serum_encoded": ("Glucose serum test: 0 not measured, 1 normal, 2 over 200, 3 over 300 mg/dL.", 0),
    "a1cresult_encoded": ("HbA1c test: 0 not measured, 1 normal, 2 over 7 %, 3 over 8 %.", 0),
    "change_encoded": ("Diabetes medication changed: 0 no, 1 yes.", 1),
    "diabetesmed_encoded": ("Any diabetes medication prescribed: 0 no, 1 yes.", 1),
    "num_diabetes_meds": ("Number of diabetes drugs prescribed, out of 23.", 2),
}
_OPTIONAL: Final = {
    "admission_type_id": (
        "Type of admission: 1 emergency, 2 urgent, 3 elective … (codes of UCI's IDs_mapping.csv).",
        1,
    ),
    "discharge_disposition_id": (
        "Discharge destination: 1 home, 3 nursing facility … (codes of UCI's IDs_mapping.csv).",
        1,
    ),
    "admission_source_id": ("Source of admission: 7 emergency room … (codes of UCI's IDs_mapping.csv).", 7),
    "payer_code": ("Payer: MC Medicare, MD Medicaid, SP self-pay …", "MC"),
    "medical_specialty": ("Specialty of the admitting physician, in UCI's spelling.", "InternalMedicine"),
    "weight": ("Weight range in UCI's notation; recorded for 3% of its stays.", "[75-100)"),
    "diag_1": ("Primary diagnosis, ICD-9-CM or ICD-10-CM.", "428"),
    "diag_2": ("Second diagnosis, ICD-9-CM or ICD-10-CM.", "250.83"),
    "diag_3": ("Third diagnosis, ICD-9-CM or ICD-10-CM.", "403"),
    **{name: (f"Change of {name}: No (not prescribed), Steady, Up (dose increased) or Down.", "No") for name in DOSED},
    "metformin": ("Change of metformin: No (not prescribed), Steady, Up (dose increased) or Down.", "Steady"),
    "insulin": ("Change of insulin: No (not prescribed), Steady, Up (dose increased) or Down.", "Up"),
    "num_doses_up": ("Number of diabetes drugs whose dose was increased, out of 23.", 1),
    "num_doses_down": ("Number of diabetes drugs whose dose was decreased, out of 23.", 0),
    "prior_encounters": ("Earlier stays of this patient on record.", 2),
    "prior_early_readmissions": ("Earlier stays that were followed by a readmission within 30 days.", 1),
    "prior_days_in_hospital": ("Total days in hospital of the earlier stays.", 9),
    "last_time_in_hospital": ("Previous stay: days in hospital.", 4),
    "last_num_lab_procedures": ("Previous stay: lab tests.", 40),
    "last_num_medications": ("Previous stay: distinct drugs.", 14),
    "last_number_outpatient": ("Previous stay: outpatient visits in the year before it.", 0),
    "last_number_emergency": ("Previous stay: emergency visits in the year before it.", 0),
    "last_number_inpatient": ("Previous stay: inpatient stays in the year before it.", 1),
    "last_number_diagnoses": ("Previous stay: number of diagnoses.", 9),
    "last_early_readmission": ("Previous stay: readmitted within 30 days, 0 no, 1 yes.", 0),
    "last_discharge_disposition_id": ("Previous stay: discharge destination.", 1),
    "last_diag_1": ("Previous stay: primary diagnosis, ICD-9-CM or ICD-10-CM.", "428"),
}
_RAW: Final = {
    "age": ("Age in years, as one of UCI's ten-year ranges.", "[50-60)"),
    "max_glu_serum": ("Glucose serum test in mg/dL; None, an empty text or null if not measured.", "None"),
    "A1Cresult": ("HbA1c test in %; None, an empty text or null if not measured.", "None"),
    **{name: (f"Change of {name}: No (not prescribed), Steady, Up (dose increased) or Down.", "No") for name in DRUGS},
    "metformin": ("Change of metformin: No (not prescribed), Steady, Up (dose increased) or Down.", "Steady"),
    "insulin": ("Change of insulin: No (not prescribed), Steady, Up (dose increased) or Down.", "Up"),
    "change": ("Diabetes medication changed: Ch (yes) or No.", "Ch"),
    "diabetesMed": ("Any diabetes medication prescribed.", "Yes"),
}
_WHOSE: Final = {
    "patient_nbr": (
        "Number of the patient. With it and without fields of the history, a deployment with PatientHistory looks up"
        " the patient's earlier stays.",
        8222157,
    ),
    "encounter_id": (
        "Number of this stay. Only stays with a lower number count as earlier; without it, all known stays do.",
        2278392,
    ),
    "site": ("The institution whose numbers these are, as its deliveries name it. If left out: default.", "default"),
}
# Whose stay it is: no inputs of the models, in both formats.
IDENTITY: Final[Mapping[str, Rule]] = {
    "patient_nbr": COLUMNS["patient_nbr"],
    "encounter_id": COLUMNS["encounter_id"],
    "site": SiteName(),
}
_VERSION: Final = (
    "Version of the diagnoses: icd9 (ICD-9-CM) or icd10 (ICD-10-CM). If left out, it is inferred from the format of"
    " the codes. Codes that are valid in both, such as V57 and E885, then count as ICD-9-CM, and are refused beside"
    " codes of ICD-10-CM.",
    "icd9",
)
# Accepted but ignored, so that a row of the file can be sent unchanged.
IGNORED: Final = ("race", "gender", "readmitted")
# The columns from which the 14 features are computed.
RAW_REQUIRED: Final = tuple(name for name in COLUMNS if name in _RAW or name in FEATURES)
RAW_RULES: Final[Mapping[str, Rule]] = {
    **{name: COLUMNS[name] for name in COLUMNS if name not in IGNORED},
    **PATIENT_HISTORY,
    **IDENTITY,
    DIAG_VERSION: VERSIONS,
}

DESCRIPTIONS: Final[Mapping[str, str]] = {
    name: text for name, (text, _) in (_DESCRIPTIONS | _OPTIONAL | _WHOSE).items()
}
EXAMPLE: Final[dict[str, Any]] = {name: example for name, (_, example) in _DESCRIPTIONS.items()}
COMPLETE_EXAMPLE: Final[dict[str, Any]] = {**EXAMPLE, **{name: example for name, (_, example) in _OPTIONAL.items()}}
RAW_EXAMPLE: Final[dict[str, Any]] = {
    name: (_RAW.get(name) or _DESCRIPTIONS.get(name) or _OPTIONAL[name])[1]
    for name in COLUMNS
    if name not in IGNORED and name not in IDENTITY
}
# With what the history is looked up by.
IDENTIFIED_EXAMPLE: Final[dict[str, Any]] = {**EXAMPLE, **{name: example for name, (_, example) in _WHOSE.items()}}


def to_integer(value: Any) -> Any:
    """Text of digits, as in a CSV, as an integer; any other value unchanged."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


def _known(value: Any) -> Any:
    return None if value in ("", MISSING) else value


def _test_result(value: Any) -> Any:
    return NOT_MEASURED if value is None or value == "" else value


def _kind(rule: Rule) -> Any:
    """The type of the values that a rule of the data contract allows."""
    if isinstance(rule, IntegerRange):
        return Annotated[int, Field(ge=rule.low, le=rule.high)]
    if isinstance(rule, OneOf):
        return Literal[*sorted(rule.values)]
    if isinstance(rule, Diagnosis | SiteName):
        return Annotated[str, Field(pattern=rf"^(?:{rule.pattern})$")]
    return Annotated[str, Field(min_length=1, max_length=rule.longest)]


def _raw_kind(rule: Rule) -> Any:
    """The same, but integers may be given as text."""
    if not isinstance(rule, IntegerRange):
        return _kind(rule)
    described = _kind(rule) | Annotated[str, Field(pattern="^[0-9]{1,19}$")]
    return Annotated[_kind(rule), BeforeValidator(to_integer, json_schema_input_type=described)]


def _raw_identity(rule: Rule) -> Any:
    """The type of an identifier, or the version, in the raw format: an empty text and ? mean that it is not given."""
    kind = _raw_kind(rule)
    described: Any = kind | Literal["", "?"] | None
    return Annotated[kind | None, BeforeValidator(_known, json_schema_input_type=described)]


def _test_kind(rule: Rule) -> Any:
    """The type of a raw test result, which may be empty."""
    kind = _kind(rule)
    described: Any = kind | Literal[""] | None
    return Annotated[kind, BeforeValidator(_test_result, json_schema_input_type=described)]


def _required(kind: Any, description: str, example: Any) -> Any:
    return Annotated[kind, Field(description=description, examples=[example])], ...


def _optional(kind: Any, description: str, example: Any) -> Any:
    """A field that may be left out or null, which means unknown."""
    return Annotated[kind | None, Field(description=f"{description} Unknown if left out.", examples=[example])], None


def _identity(kind: Any, description: str, example: Any) -> Any:
    return Annotated[kind | None, Field(description=description, examples=[example])], None


def _raw_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in COLUMNS:
        if name in IGNORED:
            fields[name] = Annotated[Any, Field(description="Accepted but ignored.", examples=["?"])], None
        elif name in IDENTITY:
            fields[name] = _identity(_raw_identity(COLUMNS[name]), *_WHOSE[name])
        elif name in TESTS:
            fields[name] = _required(_test_kind(COLUMNS[name]), *_RAW[name])
        elif name in RAW_REQUIRED:
            fields[name] = _required(_raw_kind(COLUMNS[name]), *(_RAW.get(name) or _DESCRIPTIONS[name]))
        else:
            fields[name] = _optional(_raw_kind(COLUMNS[name]), *_OPTIONAL[name])
    fields |= {name: _optional(_raw_kind(rule), *_OPTIONAL[name]) for name, rule in PATIENT_HISTORY.items()}
    fields["site"] = _identity(_raw_identity(IDENTITY["site"]), *_WHOSE["site"])
    fields[DIAG_VERSION] = _identity(_raw_identity(VERSIONS), *_VERSION)
    return fields


# Strict: a number as text, a fraction or a boolean is probably a mistake of the client's.
Encounter: Any = create_model(
    "Encounter",
    __config__=ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{**EXAMPLE}, {**COMPLETE_EXAMPLE}, {**IDENTIFIED_EXAMPLE}]},
    ),
    __doc__="One encounter at discharge in the prepared format: 14 required fields and any optional ones.",
    **{name: _required(_kind(rule), *_DESCRIPTIONS[name]) for name, rule in FEATURES.items()},
    **{name: _optional(_kind(rule), *_OPTIONAL[name]) for name, rule in {**OPTIONAL, **PATIENT_HISTORY}.items()},
    **{name: _identity(_kind(rule), *_WHOSE[name]) for name, rule in IDENTITY.items()},
    **{DIAG_VERSION: _identity(_kind(VERSIONS), *_VERSION)},
)

RawEncounter: Any = create_model(
    "RawEncounter",
    __config__=ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{**RAW_EXAMPLE}]}),
    __doc__="One encounter in the raw format: a row of UCI's diabetic_data.csv, and fields about earlier encounters."
    " Numbers may be given as text.",
    **_raw_fields(),
)


class Batch(BaseModel):
    """Up to 1,000 encounters, each in the prepared or the raw format."""

    encounters: Annotated[list[Encounter | RawEncounter], Field(max_length=MAX_ROWS, examples=[[EXAMPLE, RAW_EXAMPLE]])]


class EarlyRisk(BaseModel):
    """The risk of a readmission within 30 days."""

    probability: Annotated[float, Field(ge=0, le=1, description="Probability of class <30.", examples=[0.11])]
    band: Annotated[
        Band | None,
        Field(
            description="By percentile: low below 50, moderate from 50, high from 80, very high from 90. Null if the"
            " model has no distribution of its patients' risks.",
            examples=["moderate"],
        ),
    ]
    percentile: Annotated[
        float | None,
        Field(ge=0, le=100, description="Percentage of training patients with a lower risk.", examples=[63]),
    ]


class History(BaseModel):
    """The look-up of the patient's earlier stays, from which the fields of the history were filled in."""

    status: Annotated[
        Literal["found", "not found", "unavailable"],
        Field(
            description="not found: the system knows no earlier stay, and the forecast is that of a first stay."
            " unavailable: the database did not answer in time, and the history is unknown to the forecast."
        ),
    ]
    earlier_stays: Annotated[
        int | None, Field(ge=0, description="Number of earlier stays. Null if unavailable.", examples=[2])
    ]
    stays: Annotated[
        Literal["before the encounter", "all known"],
        Field(description="Which stays count: those before `encounter_id`, or, without it, all that are known."),
    ]


class Forecast(BaseModel):
    """The forecast for one encounter."""

    readmitted: Annotated[str, Field(description="The most probable class: NO, >30 or <30 (days).", examples=["NO"])]
    probabilities: Annotated[
        dict[str, float],
        Field(
            description="Probability of each class; they sum to 1.", examples=[{"<30": 0.11, ">30": 0.35, "NO": 0.54}]
        ),
    ]
    early_risk: Annotated[EarlyRisk, Field(examples=[{"probability": 0.11, "band": "moderate", "percentile": 63}])]
    history: Annotated[History | None, Field(description="Only if the patient's earlier stays were looked up.")] = None


class Answer(BaseModel):
    """The model that answered, and the request."""

    model_name: Annotated[str, Field(examples=["readmission"])]
    model_version: Annotated[str, Field(examples=["3"])]
    data_kind: Annotated[
        str, Field(description="The data the model was trained on: real or synthetic.", examples=["real"])
    ]
    request_id: Annotated[
        str, Field(description="The same id as in the x-request-id header.", examples=["c6af9ac6-7b61"])
    ]


class Prediction(Answer, Forecast):
    """The forecast for one encounter, and the model that made it."""

    explanation: Annotated[
        Explanation | None, Field(description="Only with `explain=true`: what each field adds to the risk.")
    ] = None


class Wrong(BaseModel):
    """Why a field is invalid. Its value is not repeated."""

    field: Annotated[str, Field(examples=["time_in_hospital"])]
    message: Annotated[str, Field(examples=["must be a whole number from 0 to 365"])]
    code: Annotated[
        str | None,
        Field(description="The kind of error, for clients that translate messages.", examples=["integer_range"]),
    ] = None
    params: Annotated[
        dict[str, int | list[str]] | None,
        Field(description="The numbers and names in the message.", examples=[{"low": 0, "high": 365}]),
    ] = None


class RowProblem(BaseModel):
    """Why an encounter of a batch has no forecast."""

    detail: Annotated[str, Field(examples=["The encounter is invalid: time_in_hospital"])]
    errors: Annotated[list[Wrong], Field(examples=[[{"field": "time_in_hospital", "message": "is required"}]])]


class BatchForecast(Forecast):
    """The forecast for one encounter of a batch."""

    model_version: Annotated[
        str | None,
        Field(description="Only if another version than that of the batch made it: a canary.", examples=["4"]),
    ] = None


class Row(BaseModel):
    """The answer to one encounter of a batch: a prediction or a problem."""

    index: Annotated[int, Field(ge=0, description="The encounter's index in the request, from 0.", examples=[0])]
    prediction: BatchForecast | None = None
    problem: RowProblem | None = None


class BatchPrediction(Answer):
    """The answers to a batch, in the order of the request."""

    answered: Annotated[int, Field(description="Number of encounters with a prediction.", examples=[1])]
    refused: Annotated[int, Field(description="Number of encounters with a problem.", examples=[0])]
    predictions: Annotated[list[Row], Field(examples=[[{"index": 0, "prediction": {"readmitted": "NO"}}]])]


Outcome: Any = create_model(
    "Outcome",
    __config__=ConfigDict(extra="forbid", strict=True),
    __doc__="What became of the patient of an encounter.",
    encounter_id=_required(_raw_kind(IDENTITY["encounter_id"]), "Number of the encounter.", 2278392),
    readmitted=_required(
        _kind(COLUMNS["readmitted"]),
        "<30: within 30 days of the discharge; >30: later; NO: not until now. A later outcome of the encounter replaces"
        " an earlier one.",
        "<30",
    ),
    site=_identity(_kind(IDENTITY["site"]), "The institution whose number it is. If left out: default.", "default"),
    discharge_date=_identity(
        datetime.date, "YYYY-MM-DD. If left out, the day of the forecast stands in.", "2026-01-31"
    ),
)


class OutcomeRow(BaseModel):
    """What became of one outcome of a request: it was stored, or has a problem."""

    index: Annotated[int, Field(ge=0, description="The outcome's index in the request, from 0.", examples=[0])]
    result: Annotated[
        Literal["stored", "repeated"] | None,
        Field(description="repeated: a request with the same x-request-id brought the same outcome before."),
    ] = None
    problem: RowProblem | None = None


class OutcomeReport(BaseModel):
    """What became of the outcomes of a request, in their order."""

    request_id: Annotated[
        str, Field(description="The same id as in the x-request-id header.", examples=["c6af9ac6-7b61"])
    ]
    stored: Annotated[int, Field(description="Number of outcomes that are stored now.", examples=[1])]
    repeated: Annotated[int, Field(description="Number of outcomes that had been stored before.", examples=[0])]
    refused: Annotated[int, Field(description="Number of outcomes with a problem.", examples=[0])]
    outcomes: Annotated[list[OutcomeRow], Field(examples=[[{"index": 0, "result": "stored"}]])]


class JobOrder(BaseModel):
    """A scoring job: what to score. Either `source` or `delivery` is required."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[
        str | None,
        Field(
            pattern="^[A-Za-z0-9_-]{1,80}$",
            description="The id of the job; the same order with the same id is one job. If left out, a new one.",
            examples=["night-2026-11-27"],
        ),
    ] = None
    source: Annotated[
        str | None,
        Field(
            description="The key of a file in the data bucket, below scoring/incoming/, scoring/uploads/ or incoming/.",
            examples=["scoring/uploads/night.csv"],
        ),
    ] = None
    delivery: Annotated[
        str | None, Field(description="The name of an accepted delivery, whose clean stays are scored.")
    ] = None
    explain: Annotated[
        Explain, Field(description="Which rows are explained: none, those in the bands high and very high, or all.")
    ] = "none"
    chunk_rows: Annotated[int, Field(ge=1, le=MAX_CHUNK_ROWS, description="Rows that are scored together.")] = (
        DEFAULT_CHUNK_ROWS
    )


class JobOutcome(BaseModel):
    """What a job has made. The last three are keys of the data bucket."""

    job: str
    source: str
    model_name: Annotated[str, Field(examples=["readmission"])]
    model_version: Annotated[str, Field(examples=["3"])]
    data_kind: Annotated[str, Field(examples=["real"])]
    rows: Annotated[int, Field(description="Those with a forecast and the refused ones.", examples=[5000])]
    answered: Annotated[int, Field(description="Number of rows with a forecast.", examples=[4998])]
    refused: Annotated[int, Field(description="Number of rows without one.", examples=[2])]
    results: Annotated[str, Field(description="The forecasts as one CSV file.")]
    refused_rows: Annotated[str, Field(description="A CSV file with row, field and reason of the refused rows.")]
    parquet: Annotated[str, Field(description="The prefix of the forecasts as Parquet files.")]


class JobError(BaseModel):
    """Why a job failed."""

    code: Annotated[str, Field(description="The name of the error.", examples=["ColumnsMismatch"])]
    message: str


class Job(BaseModel):
    """A scoring job and what became of it."""

    id: Annotated[str, Field(examples=["night-2026-11-27"])]
    status: Literal["running", "succeeded", "failed", "stopped"]
    started_at: Annotated[str, Field(description="ISO 8601, UTC.", examples=["2026-11-27T01:00:00.000+00:00"])]
    ended_at: str | None
    explain: Explain
    source: str | None = None
    delivery: str | None = None
    model_version: Annotated[str | None, Field(description="The version in production when the job began.")] = None
    rows: Annotated[int | None, Field(description="Once they are counted.")] = None
    chunks: Annotated[int | None, Field(description="The parts of the job.")] = None
    chunks_done: int | None = None
    result: Annotated[JobOutcome | None, Field(description="If it has succeeded.")] = None
    skipped: Annotated[str | None, Field(description="Why there was nothing to score.")] = None
    error: Annotated[JobError | None, Field(description="If it has failed.")] = None


class FeedbackReport(BaseModel):
    """The feedback was kept."""

    kept: Annotated[int, Field(description="Number of entries.", examples=[1])]


class Health(BaseModel):
    """Predictions are available."""

    status: Annotated[str, Field(examples=["ok"])]
    model_version: Annotated[str, Field(examples=["3"])]


class Reload(BaseModel):
    """The served version after and before polling the registry."""

    model_version: Annotated[str, Field(examples=["4"])]
    previous_version: Annotated[str | None, Field(examples=["3"])]


class PromotionDecision(BaseModel):
    """A decision in the promotion ledger."""

    id: Annotated[int, Field(description="Increases with every decision.", examples=[2])]
    decided_at: Annotated[str, Field(description="ISO 8601.", examples=["2026-01-01T12:00:00.123456+00:00"])]
    model_name: Annotated[str, Field(examples=["readmission"])]
    version: Annotated[str, Field(description="The version decided on.", examples=["3"])]
    previous_version: Annotated[
        str | None, Field(description="The version in production before the decision.", examples=["2"])
    ]
    decision: Literal["promoted", "refused", "rolled back", "shadowed", "canaried", "withdrawn"]
    reason: Annotated[str, Field(examples=["version 3 is the first"])]
    metrics: Annotated[dict[str, Any], Field(description="The comparison that the decision is based on.")]
    data_kind: Annotated[str, Field(description="real or synthetic.", examples=["real"])]
    data_hash: Annotated[str, Field(description="Identifies the rows that the version was trained on.")]
    code_version: Annotated[str, Field(description="The release of the code that trained the version.")]
    execution: Annotated[
        str | None, Field(description="The pipeline execution; null if none made the decision.", examples=["9b2c1e4a"])
    ]
    family: Annotated[str, Field(description="The model family of the version.", examples=["gradient_boosting"])]
    mlflow_run_id: Annotated[str, Field(description="The training run of the version.", examples=["0d1e…"])]
    decided_by: Annotated[
        str | None,
        Field(
            description="Who asked for it or started the run: a name as it was given, or schedule, new object, drift or"
            " guard; null if nobody said.",
            examples=["Ada Lovelace"],
        ),
    ]
    forced: Annotated[bool, Field(description="Whether it overrode an objection.", examples=[False])]
    reason_code: Annotated[
        str, Field(description="The reason for programs; empty in entries of earlier releases.", examples=["better"])
    ]


class Problem(BaseModel):
    """Why a request failed: a problem document (RFC 9457)."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(description="The name of the status.", examples=["Unprocessable Content"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["The encounter is invalid: time_in_hospital"])]
    instance: Annotated[str, Field(description="The path of the request.", examples=["/predict"])]
    request_id: Annotated[
        str, Field(description="The same id as in the x-request-id header.", examples=["c6af9ac6-7b61"])
    ]
    errors: list[Wrong] | None = None
