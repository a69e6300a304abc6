"""The peer: the same application with a model loaded by `mlflow.pyfunc`.

Everything around the model is this project's own, so that what differs is what the model costs. The model folder lies
on the disk: fetching it, which a real one would have to do at a cold start, is not counted against it.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, cast

import mlflow.pyfunc
import numpy as np
from mangum import Mangum
from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache, Served
from readmission.telemetry import observability

from tests.benchmarks import inputs

logger = observability.logger("peer")
meter = observability.EmfMeter("predict")


class PyfuncScorer:
    """Has the interface of `Scorer`."""

    features = INPUTS
    risk_quantiles = None  # so that no percentile is looked up
    classes = tuple(sorted(CLASSES))

    def __init__(self, folder: str) -> None:
        self._model = mlflow.pyfunc.load_model(folder)

    def probabilities(self, row: Sequence[Any]) -> list[float]:
        return self.probabilities_of([row])[0]

    def probabilities_of(self, rows: Iterable[Sequence[Any]]) -> list[list[float]]:
        """The model is asked once for all, as it is fastest."""
        found: list[list[float]] = np.asarray(self._model.predict(inputs.table(rows))).tolist()
        return found


class _Loaded:
    """A `ModelCache` that has its model."""

    due = False
    registry = None  # only needed for descriptions
    challenger = None

    def __init__(self, scorer: PyfuncScorer) -> None:
        version = Version("readmission", "1", "run", "gradient_boosting", os.environ["DATA_KIND"], "")
        self.served = Served(version, cast(Scorer, scorer))

    def current(self) -> Served:
        return self.served


_scorer = PyfuncScorer(os.environ["PYFUNC_MODEL"])
model_cache = _Loaded(_scorer)
_application = Mangum(
    create_app(
        cast(ModelCache, model_cache), logger=cast(Any, logger), meter=meter, correlate=logger.set_correlation_id
    ),
    lifespan="off",
)


@logger.inject_lambda_context(clear_state=True)
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return _application(event, context)
