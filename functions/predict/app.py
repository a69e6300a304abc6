"""Lambda *predict*: the inference API (`readmission.serving.api`) behind API Gateway."""

from typing import Any

from mangum import Mangum
from readmission import observability
from readmission.serving.api import create_app
from readmission.serving.production import Production
from readmission.serving.registry import MlflowRegistry
from readmission.settings import ServingSettings

logger = observability.logger("predict")

# Once per cold start, while Lambda gives it the most processor: the application, and the model if there is one.
_settings = ServingSettings.from_environment()
_production = Production(MlflowRegistry(_settings.model), _settings.refresh_seconds, logger)
_production.refresh()
_application = Mangum(create_app(_production), lifespan="off")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return _application(event, context)
