"""`make predict`: one prediction over HTTPS, verifying LocalStack's certificate."""

import json
import time
from pathlib import Path
from typing import Any

from readmission.client import ApiProblem, ApiUnreachable, Client, Prediction

from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import step

SAMPLE = {
    "age_numeric": 55,
    "time_in_hospital": 3,
    "num_lab_procedures": 45,
    "num_procedures": 1,
    "num_medications": 15,
    "number_outpatient": 0,
    "number_emergency": 0,
    "number_inpatient": 0,
    "number_diagnoses": 9,
    "max_glu_serum_encoded": 0,
    "a1cresult_encoded": 0,
    "change_encoded": 1,
    "diabetesmed_encoded": 1,
    "num_diabetes_meds": 2,
}
TIMEOUT_SECONDS = 30


def client(settings: Settings, stack: Stack, **options: Any) -> Client:
    """A client of the deployed API. `options` are passed to `Client`."""
    return Client(stack.api_url, stack.api_key, ca_file=settings.certificate, **{"timeout": TIMEOUT_SECONDS} | options)


def predict(settings: Settings, stack: Stack, patient: dict[str, Any]) -> tuple[Prediction, float]:
    """The API's answer and its duration in seconds. Raises LocalError if the API refuses or cannot be reached."""
    began = time.monotonic()
    try:
        # No retries: they help neither without a model in production nor without LocalStack.
        with client(settings, stack, retries=0) as api:
            answer = api.predict(patient)
    except ApiProblem as error:
        raise LocalError(f"The API answered {error}") from error
    except (ApiUnreachable, OSError) as error:
        raise LocalError(f"The API cannot be reached: {error}. To see what is running: make status") from error
    return answer, time.monotonic() - began


def read_patient(file: str | None) -> dict[str, Any]:
    """The fields in a JSON file; the sample patient if no file is given. Raises LocalError if it cannot be read."""
    if not file:
        return SAMPLE
    try:
        patient: dict[str, Any] = json.loads(Path(file).read_text())
    except (OSError, ValueError) as error:
        raise LocalError(f"PATIENT: {file} cannot be read as JSON: {error}") from error
    return patient


def show(settings: Settings, stack: Stack, patient: dict[str, Any]) -> None:
    """Asks for a prediction and prints it. Raises LocalError as `predict` does."""
    with step("predict", f"POST {stack.api_url}/predict") as outcome:
        answer, _ = predict(settings, stack, patient)
        outcome.text = f"answered by version {answer['model_version']} ({answer['data_kind']} data)"
    probabilities = ", ".join(f"{name} {share:.1%}" for name, share in sorted(answer["probabilities"].items()))
    print(f"            patient: {json.dumps(patient)}")
    print(f"            predicted readmission: {answer['readmitted']}  ({probabilities})")
