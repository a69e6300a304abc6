"""Lambda *guard*: every minute, decides on the challenger (`readmission.promotion.guard`), if there is one."""

from typing import Any

from readmission.domain.payloads import ChallengeResult
from readmission.promotion import ledger
from readmission.reporting import written_card
from readmission.reporting.facts import Decision
from readmission.settings import ChallengeSettings, GuardSettings
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability

logger = observability.logger("guard")
meter = observability.EmfMeter("guard")


@logger.inject_lambda_context
def handler(event: Any, context: Any) -> ChallengeResult | None:
    """The decision, or None if there is nothing to decide. The event does not matter."""
    with meter.invocation(context.function_name):
        settings = GuardSettings.from_environment()
        with connect("clean", settings.database) as clean:
            if settings.challenges is None or ledger.challenge(clean, settings.model.name) is None:
                return None
        return _guard(settings, settings.challenges)


def _guard(settings: GuardSettings, challenges: ChallengeSettings) -> ChallengeResult | None:
    # Imported only here: MLflow and pandas take seconds, and most of the time there is no challenger.
    from readmission.promotion.guard import guard
    from readmission.promotion.scores import test_scores

    with connect("clean", settings.database) as clean:
        decided = guard(clean, settings.model, challenges)
    if decided:
        logger.warning("decided on the challenger", extra={**decided})
        meter.count(metrics.PROMOTION_DECISIONS, decision=decided["decision"])
        decision = Decision(decided["decision"], decided["reason"], decided["production_version"])
        written_card.rewrite(decided["version"], decision, settings.model, logger)
    if decided and decided["decision"] == "promoted":
        for name, value in test_scores(settings.model, decided["version"]).items():
            meter.set(metrics.MODEL_TEST_SCORE, value, model_version=decided["version"], metric=name)
    return decided
