"""One prediction over HTTPS, with the emulator's certificate verified."""

import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

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


def predict(settings: Settings, stack: Stack, patient: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The API's answer, and how long it took in seconds. Raises LocalError with what the API said."""
    request = urllib.request.Request(
        f"{stack.api_url}/predict",
        data=json.dumps(patient).encode(),
        headers={"Content-Type": "application/json", "x-api-key": stack.api_key},
        method="POST",
    )
    began = time.monotonic()
    try:
        context = ssl.create_default_context(cafile=str(certificate(settings)))
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise LocalError(f"The API answered {error.code}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise LocalError(f"The API cannot be reached: {error}. How the platform does: make status") from error
    return answer, time.monotonic() - began
