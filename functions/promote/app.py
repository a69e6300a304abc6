"""Lambda *promote*: says whether a training is due, decides on its best model, rolls back, lists decisions.

See `readmission.promotion`.
"""

from typing import Any

from readmission.domain.payloads import Earlier, EarlierEvent, PromoteEvent, PromoteResult, RollbackResult
from readmission.promotion import ledger, limit
from readmission.promotion.earlier import look
from readmission.promotion.promote import promote
from readmission.promotion.rollback import rollback
from readmission.promotion.scores import test_scores
from readmission.settings import ModelSettings, PromoteSettings, TrainingJobSettings
from readmission.storage.database import connect
from readmission.storage.migrations import migrate
from readmission.telemetry import metrics, observability

logger = observability.logger("promote")
meter = observability.EmfMeter("promote")


@logger.inject_lambda_context(correlation_id_path="execution")
def handler(event: Any, context: Any) -> Any:
    """A `PromoteEvent` or `EarlierEvent` of the state machine, or what an operator asks for.

    That is `{"rollback": {…}}` or `{"history": {"limit": n}}`.
    """
    if "earlier" in event:
        return _look(event, context)
    if "history" in event:
        settings = PromoteSettings.from_environment()
        with connect("clean", settings.database) as clean:
            return ledger.read(clean, settings.model.name, limit.of_request(event["history"]))
    return _rollback(event["rollback"]) if "rollback" in event else _decide(event, context)


@observability.step(logger, meter)
def _look(event: EarlierEvent, context: Any) -> Earlier:
    settings = PromoteSettings.from_environment()
    with connect("clean", settings.database) as clean:
        found = look(event, clean, settings.model, TrainingJobSettings.from_environment())
    logger.info("looked for models", extra={name: found[name] for name in ("outcome", "execution")})
    return found


@observability.step(logger, meter)
def _decide(event: PromoteEvent, context: Any) -> PromoteResult:
    settings = PromoteSettings.from_environment()
    _migrate(settings)
    with connect("clean", settings.database) as clean:
        result = promote(event, clean, settings.model)
    logger.info("decided", extra={**result})
    _measure(result["decision"], result["production_version"], settings.model)
    return result


def _rollback(request: Any) -> RollbackResult:
    settings = PromoteSettings.from_environment()
    _migrate(settings)
    with connect("clean", settings.database) as clean:
        result = rollback(request, clean, settings.model)
    logger.info("rolled back", extra={**result})
    _measure("rolled_back", result["version"], settings.model)
    return result


def _migrate(settings: PromoteSettings) -> None:
    """Apart from this, only *plan* migrates, and a promotion or rollback may come first after a deployment."""
    with connect("clean", settings.owner) as clean:
        migrate(clean, "clean")


def _measure(decision: str, served: str, model: ModelSettings) -> None:
    meter.count(metrics.PROMOTION_DECISIONS, decision=decision)
    # There is no served version yet if the first model was refused.
    for name, value in (test_scores(model, served) if served else {}).items():
        meter.set(metrics.MODEL_TEST_SCORE, value, model_version=served, metric=name)
