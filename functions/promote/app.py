"""Lambda *promote*: says whether a training is due, decides on its best model, and does what operators ask.

See `readmission.promotion`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pg8000.native import Connection
from readmission.domain.payloads import (
    ChallengeResult,
    Earlier,
    EarlierEvent,
    PromoteEvent,
    PromoteResult,
    RollbackResult,
)
from readmission.promotion import challenger, guard, ledger, limit
from readmission.promotion.earlier import look
from readmission.promotion.promote import promote
from readmission.promotion.replay import replay
from readmission.promotion.rollback import rollback
from readmission.promotion.scores import test_scores
from readmission.reporting import written_card
from readmission.reporting.facts import Decision
from readmission.settings import ModelSettings, PromoteSettings, TrainingJobSettings
from readmission.storage.database import connect
from readmission.storage.migrations import migrate
from readmission.telemetry import metrics, observability

logger = observability.logger("promote")
meter = observability.EmfMeter("promote")


@logger.inject_lambda_context(correlation_id_path="execution")
def handler(event: Any, context: Any) -> Any:
    """A `PromoteEvent` or `EarlierEvent` of the state machine, or what an operator asks for.

    Decisions are `{"rollback": RollbackRequest}`, `{"challenge": ChallengeRequest}` and `{"abort": AbortRequest}`.
    `{"history": {"limit": n}}`, `{"challenger": {}}` and `{"replay": {"version": "4"}}` only read.
    """
    if "earlier" in event:
        return _look(event, context)
    for name, answer in _REQUESTS.items():
        if name in event:
            return answer(event[name])
    return _decide(event, context)


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
    with connect("clean", settings.database) as clean, _card_of_the_outdone(clean, settings.model):
        result = promote(event, clean, settings.model, settings.challenges)
    logger.info("decided", extra={**result})
    _measure(result["decision"], result["production_version"], settings.model)
    return result


def _rollback(request: Any) -> RollbackResult:
    settings = PromoteSettings.from_environment()
    _migrate(settings)
    with connect("clean", settings.database) as clean, _card_of_the_outdone(clean, settings.model):
        result = rollback(request, clean, settings.model)
    logger.info("rolled back", extra={**result})
    _measure("rolled_back", result["version"], settings.model)
    decision = Decision("rolled back", result["reason"], result["version"])
    written_card.rewrite(result["version"], decision, settings.model, logger)
    return result


def _challenge(request: Any) -> ChallengeResult:
    settings = PromoteSettings.from_environment()
    _migrate(settings)
    with connect("clean", settings.database) as clean, _card_of_the_outdone(clean, settings.model):
        result = challenger.challenge(request, clean, settings.model, settings.challenges)
    return _tried(result, settings.model)


def _abort(request: Any) -> ChallengeResult:
    settings = PromoteSettings.from_environment()
    _migrate(settings)
    with connect("clean", settings.database) as clean:
        result = challenger.abort(request, clean, settings.model)
    return _tried(result, settings.model)


def _tried(result: ChallengeResult, model: ModelSettings) -> ChallengeResult:
    logger.info("decided on the challenger", extra={**result})
    meter.count(metrics.PROMOTION_DECISIONS, decision=result["decision"])
    decision = Decision(result["decision"], result["reason"], result["production_version"])
    written_card.rewrite(result["version"], decision, model, logger)
    return result


@contextmanager
def _card_of_the_outdone(clean: Connection, model: ModelSettings) -> Iterator[None]:
    """Afterwards, write the card of the challenger that had to give way to another version again."""
    tried = ledger.challenge(clean, model.name)
    yield
    entry = ledger.newest_on(clean, model.name, tried.version) if tried else None
    if entry and entry.decision == "withdrawn":
        decision = Decision("withdrawn", entry.reason, entry.previous_version or "")
        written_card.rewrite(entry.version, decision, model, logger)


def _history(request: Any) -> list[dict[str, Any]]:
    settings = PromoteSettings.from_environment()
    with connect("clean", settings.database) as clean:
        return ledger.read(clean, settings.model.name, limit.of_request(request))


def _state(_request: Any) -> dict[str, Any] | None:
    settings = PromoteSettings.from_environment()
    with connect("clean", settings.database) as clean:
        return guard.state(clean, settings.model, settings.challenges)


def _replay(request: Any) -> dict[str, Any]:
    settings = PromoteSettings.from_environment()
    _migrate(settings)  # the prediction log may not exist yet
    with connect("clean", settings.database) as clean:
        return replay(request, clean, settings.model)


def _migrate(settings: PromoteSettings) -> None:
    """Apart from this, only *plan* migrates, and a promotion or rollback may come first after a deployment."""
    with connect("clean", settings.owner) as clean:
        migrate(clean, "clean")


def _measure(decision: str, served: str, model: ModelSettings) -> None:
    meter.count(metrics.PROMOTION_DECISIONS, decision=decision)
    # There is no served version yet if the first model was refused.
    for name, value in (test_scores(model, served) if served else {}).items():
        meter.set(metrics.MODEL_TEST_SCORE, value, model_version=served, metric=name)


_REQUESTS: Final[dict[str, Callable[[Any], Any]]] = {
    "history": _history,
    "rollback": _rollback,
    "challenge": _challenge,
    "abort": _abort,
    "challenger": _state,
    "replay": _replay,
}
