"""Lambda *history*: `GET /model/history`, the promotion ledger, and `GET /monitor`, the newest document of the monitor.

See `readmission.serving.history` and `readmission.serving.monitor`.
"""

from functools import cache
from typing import Any

from readmission.http import base_path
from readmission.promotion import ledger
from readmission.serving import history, monitor
from readmission.settings import CorsSettings, GatewaySettings, HistorySettings, MonitorDocumentSettings
from readmission.storage import monitor_document
from readmission.storage.database import KeptConnection
from readmission.storage.s3 import s3_client
from readmission.telemetry import observability

logger = observability.logger("history")
meter = observability.EmfMeter("history")
_cors = CorsSettings.from_environment()

_IDENTIFIED = GatewaySettings.from_environment().identified


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    if event["path"] == "/monitor":
        return monitor.respond(event, _newest, logger, logger.set_correlation_id, _cors.origins, identified=_IDENTIFIED)
    return history.respond(event, _decisions, logger, logger.set_correlation_id, _cors.origins, identified=_IDENTIFIED)


def _decisions(limit: int) -> list[dict[str, Any]]:
    settings = HistorySettings.from_environment()
    return _clean().read(lambda clean: ledger.read(clean, settings.model_name, limit))


def _newest() -> bytes | None:
    settings = MonitorDocumentSettings.from_environment()
    return monitor_document.newest(s3_client(), settings.data_bucket, settings.model_name)


@cache
def _clean() -> KeptConnection:
    """One for each execution environment."""
    return KeptConnection("clean", HistorySettings.from_environment().database)
