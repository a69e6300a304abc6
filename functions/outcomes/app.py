"""Lambda *outcomes*: `POST /outcomes`, what became of patients, behind API Gateway (`readmission.serving.outcomes`)."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pg8000.exceptions import DatabaseError
from readmission.http import base_path
from readmission.pipeline import outcomes
from readmission.pipeline.outcomes import Outcome, Result
from readmission.serving.outcomes import NoTable, respond
from readmission.settings import CorsSettings, GatewaySettings, OutcomesSettings
from readmission.storage.database import KeptConnection, sqlstate
from readmission.telemetry import observability

_UNDEFINED_TABLE = "42P01"

logger = observability.logger("outcomes")
meter = observability.EmfMeter("outcomes")
_cors = CorsSettings.from_environment()

_IDENTIFIED = GatewaySettings.from_environment().identified


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return respond(event, _store, logger, logger.set_correlation_id, _cors.origins, meter=meter, identified=_IDENTIFIED)


def _store(found: Sequence[Outcome], request_id: str, by: str | None) -> Mapping[int, Result]:
    try:
        return _clean().read(lambda clean: outcomes.store(clean, found, request_id, by))
    except DatabaseError as error:
        if sqlstate(error) == _UNDEFINED_TABLE:
            raise NoTable from error
        raise


@cache
def _clean() -> KeptConnection:
    """One for each execution environment."""
    return KeptConnection("clean", OutcomesSettings.from_environment().database)
