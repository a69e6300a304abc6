"""Lambda *predict*: the inference API (`readmission.serving.api`) behind API Gateway."""

from mangum import Mangum

from readmission.serving.api import create_app
from readmission.serving.production import Production
from readmission.serving.registry import MlflowRegistry
from readmission.settings import ServingSettings

# Once per cold start, while Lambda gives it the most processor: the application, and the model if there is one.
_settings = ServingSettings.from_environment()
_production = Production(MlflowRegistry(_settings.model), _settings.refresh_seconds)
_production.refresh()

handler = Mangum(create_app(_production), lifespan="off")
