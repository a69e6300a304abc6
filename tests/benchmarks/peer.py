"""The peer: the same application with a model loaded by `mlflow.pyfunc`.

Everything around the model is this project's own, so that what differs is what the model costs. The model folder lies
on the disk: fetching it, which a real one would have to do at a cold start, is not counted against it.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import mlflow.pyfunc
import numpy as np
from mangum import Mangum
from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS, inputs_of
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer
from readmission.serving import batch
from readmission.serving.api import create_app
from readmission.serving.challenger import Answer
from readmission.serving.encounters import Asked
from readmission.serving.model_cache import ModelCache, Served
from readmission.serving.prediction_log import Answered
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
        self._ahead: list[list[float]] = []

    def probabilities(self, row: Sequence[Any]) -> list[float]:
        return self._ahead.pop() if self._ahead else self.table([row])[0]

    def table(self, rows: Iterable[Sequence[Any]]) -> list[list[float]]:
        found: list[list[float]] = np.asarray(self._model.predict(inputs.table(rows))).tolist()
        return found

    def predict(
        self, served: Served, encounters: Sequence[Asked], answer: Callable[[Served, Asked], Answer]
    ) -> tuple[list[dict[str, Any]], list[Answered]]:
        """As `batch.predict`, for rows without errors: the model is asked once for all, as it is fastest."""
        self._ahead = self.table(list(inputs_of(one.fields).values()) for one in encounters)[::-1]
        found = [answer(served, one) for one in encounters]
        rows = [{"index": index, "prediction": one.forecast} for index, one in enumerate(found)]
        pairs = enumerate(zip(found, encounters, strict=True))
        return rows, [one.as_logged(index, asked) for index, (one, asked) in pairs]


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
batch.predict = _scorer.predict
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
