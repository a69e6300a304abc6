"""Lambda *promote*: what serves. Decides on an execution's best model, goes back to an earlier one, tells the history.

`readmission.promotion.promote` and `ledger`.
"""

from typing import Any

from readmission import settings
from readmission.domain.payloads import PromoteEvent, PromoteResult, RollbackResult
from readmission.promotion import ledger
from readmission.promotion.production import test_scores
from readmission.promotion.promote import promote, rollback
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability

logger = observability.logger("promote")
meter = observability.EmfMeter("promote")


@logger.inject_lambda_context(correlation_id_path="execution")
def handler(event: Any, context: Any) -> Any:
    """A `PromoteEvent` of the state machine, or a person's `{"rollback": {…}}` or `{"history": {"limit": n}}`."""
    if "history" in event:
        with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
            return ledger.history(event["history"], clean, settings.ModelSettings.from_environment().name)
    if "rollback" in event:
        return _rollback(event["rollback"])
    return _decide(event, context)


@observability.step(logger, meter)
def _decide(event: PromoteEvent, context: Any) -> PromoteResult:
    model = settings.ModelSettings.from_environment()
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        result = promote(event, clean, model)
    logger.info("decided", extra={**result})
    _measure(result["decision"], result["production_version"], model)
    return result


def _rollback(request: Any) -> RollbackResult:
    model = settings.ModelSettings.from_environment()
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        result = rollback(request, clean, model)
    logger.info("rolled back", extra={**result})
    _measure("rolled_back", result["version"], model)
    return result


def _measure(decision: str, serving: str, model: settings.ModelSettings) -> None:
    meter.count(metrics.PROMOTION_DECISIONS, decision=decision)
    # A model that is refused as the first leaves Production empty.
    for name, value in (test_scores(model, serving) if serving else {}).items():
        meter.set(metrics.MODEL_TEST_SCORE, value, model_version=serving, metric=name)
