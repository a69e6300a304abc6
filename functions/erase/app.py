"""Lambda *erase*: finds and deletes what is stored of a patient (`readmission.pipeline.erasure`).

Operators invoke it; no state machine and no gateway does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from readmission.errors import InvalidRequest
from readmission.identity.patient_key import PatientKeys
from readmission.pipeline import erasure
from readmission.pipeline.erasure import Found, Stores
from readmission.registry.rest import RestClient
from readmission.settings import EraseSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import observability

_MLFLOW_SECONDS = 20

logger = observability.logger("erase")


@logger.inject_lambda_context
def handler(event: Any, context: Any) -> Found:
    """An operator's `{"find": {…}}` with patient and site, or `{"erase": {…}}` with reason, by and confirm too."""
    if not isinstance(event, dict) or len(event) != 1 or not event.keys() <= {"find", "erase"}:
        raise InvalidRequest("the event must be {'find': {…}} or {'erase': {…}}")
    ((task, request),) = event.items()
    with _stores() as stores:
        found = erasure.find(request, stores) if task == "find" else erasure.erase(request, stores)
    # Neither the patient nor the names of files, which may be those of hospitals' patients too.
    counts = {"rows": found["rows"], "files": len(found["files"]), "versions": found["versions"]}
    logger.info("found" if task == "find" else "erased", extra={"site": found["site"], **counts})
    return found


@contextmanager
def _stores() -> Iterator[Stores]:
    settings = EraseSettings.from_environment()
    registry = RestClient(settings.model, _MLFLOW_SECONDS)
    keys = PatientKeys(settings.patient_key).key_of if settings.patient_key else None
    with connect("raw", settings.database) as raw, connect("clean", settings.database) as clean:
        yield Stores(raw, clean, s3_client(), settings.data_bucket, registry, keys)
