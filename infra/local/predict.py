"""One prediction over HTTPS, with the emulator's certificate verified."""

import time
from pathlib import Path
from typing import Any

from readmission.client import ApiProblem, ApiUnreachable, Client, Prediction

from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack

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


def certificate(settings: Settings) -> Path:
    """What LocalStack's self-signed certificate is verified with, for the name `localhost`."""
    return settings.localstack_files / "var" / "lib" / "localstack" / "cache" / "server.test.pem.crt"


def client(settings: Settings, stack: Stack, **options: Any) -> Client:
    """A client of the deployed API; `options` are those of `Client`."""
    return Client(stack.api_url, stack.api_key, ca_file=certificate(settings), **{"timeout": TIMEOUT_SECONDS} | options)


def predict(settings: Settings, stack: Stack, patient: dict[str, Any]) -> tuple[Prediction, float]:
    """The API's answer, and how long it took in seconds. Raises LocalError with what the API said."""
    began = time.monotonic()
    try:
        # A model that is missing is told at once, and the emulator is here or it is not: no second try.
        with client(settings, stack, retries=0) as api:
            answer = api.predict(patient)
    except ApiProblem as error:
        raise LocalError(f"The API answered {error}") from error
    except (ApiUnreachable, OSError) as error:
        raise LocalError(f"The API cannot be reached: {error}. How the platform does: make status") from error
    return answer, time.monotonic() - began
