"""Lambda *promote*: what serves. Decides on an execution's best model, goes back to an earlier one, tells the history.

`readmission.training.promote`, `rollback` and `ledger`.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.database import connect
from readmission.training import ledger
from readmission.training.promote import promote
from readmission.training.rollback import rollback

logger = observability.logger("promote")
metrics = observability.metrics("promote")


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """A `PromoteEvent` of the state machine, or a person's `{"rollback": {…}}` or `{"history": {"limit": n}}`."""
    model = settings.ModelSettings.from_environment()
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        if "history" in event:
            return ledger.newest(clean, model.name, int(event["history"].get("limit", 50)))
        if "rollback" in event:
            back = rollback(event["rollback"], clean, model)
            logger.info("rolled back", extra={**back})
            return back
        result = promote(event, clean, model)
    metrics.add_metric(observability.MODELS_PROMOTED, MetricUnit.Count, int(result["decision"] == "promoted"))
    logger.info("decided", extra={**result})
    return result
