"""What the API takes and answers."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from readmission.features import FEATURES

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
EXAMPLE: Final[dict[str, int]] = {name: example for name, (_, example) in _DESCRIPTIONS.items()}


def _field(name: str) -> Any:
    rule = FEATURES[name]
    description, example = _DESCRIPTIONS[name]
    return Annotated[int, Field(ge=rule.low, le=rule.high, description=description, examples=[example])], ...


Encounter: Any = create_model(
    "Encounter",
    __config__=ConfigDict(extra="forbid", json_schema_extra={"examples": [{**EXAMPLE}]}),
    __doc__="One encounter at discharge.",
    **{name: _field(name) for name in FEATURES},
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
