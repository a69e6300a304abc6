"""Lambda *predict*: the inference API (`readmission.serving.api`) behind API Gateway."""

from typing import Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from readmission.http import base_path
from readmission.http.authentication import by_gateway
from readmission.http.problems import MEDIA_TYPE
from readmission.registry.production import MlflowRegistry
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache
from readmission.serving.openapi_ehr import FHIR_JSON
from readmission.settings import ServingSettings
from readmission.telemetry import observability
from snapshot_restore_py import register_after_restore

logger = observability.logger("predict")
meter = observability.EmfMeter("predict")

# Once per cold start, when Lambda gives a function the most CPU: the application, and the model if there is one.
_settings = ServingSettings.from_environment()
model_cache = ModelCache(
    MlflowRegistry(_settings.model),
    _settings.refresh_seconds,
    logger,
    meter=meter,
    challenger_seconds=_settings.challenger_seconds,
)
model_cache.refresh()
# With SnapStart, the above ran when the version was published.
register_after_restore(model_cache.restored)
audit = None
if _settings.audit:
    # Imported only here: boto3 takes half a second at a cold start.
    from readmission.identity.audit import open_log

    audit = open_log(_settings.audit)
application = create_app(
    model_cache,
    cors_origins=_settings.cors_origins,
    logger=logger,
    meter=meter,
    correlate=logger.set_correlation_id,
    identify=by_gateway if _settings.identified else None,
    audit=audit,
)
application.state.ehr = _settings.ehr
if _settings.history:
    # Imported only here: pg8000 and boto3 take most of a second at a cold start.
    from readmission.serving.earlier_stays import open_histories

    application.state.histories = open_histories(_settings.history, logger, meter)
    register_after_restore(application.state.histories.open)
if _settings.prediction_log:
    # Imported only here: boto3 takes half a second at a cold start.
    from readmission.serving.prediction_queue import open_log as open_prediction_log

    application.state.prediction_log = open_prediction_log(_settings.prediction_log, logger, meter)
    register_after_restore(application.state.prediction_log.open)
_adapter = Mangum(
    application,
    lifespan="off",
    # Mangum encodes bodies of all other types in base 64.
    text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE, FHIR_JSON],
)


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return _adapter(event, context)
