"""Lambda *history*: `GET /model/history`, the promotion ledger behind API Gateway (`readmission.serving.history`)."""

from functools import cache
from typing import Any

from readmission.http import base_path
from readmission.promotion import ledger
from readmission.serving.history import respond
from readmission.settings import CorsSettings, HistorySettings, IdentitySettings
from readmission.storage.database import KeptConnection
from readmission.telemetry import observability

logger = observability.logger("history")
meter = observability.EmfMeter("history")
_cors = CorsSettings.from_environment()

_IDENTIFIED = IdentitySettings.from_environment() is not None


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return respond(event, _decisions, logger, logger.set_correlation_id, _cors.origins, identified=_IDENTIFIED)


def _decisions(limit: int) -> list[dict[str, Any]]:
    settings = HistorySettings.from_environment()
    return _clean().read(lambda clean: ledger.read(clean, settings.model_name, limit))


@cache
def _clean() -> KeptConnection:
    """One for each execution environment."""
    return KeptConnection("clean", HistorySettings.from_environment().database)
