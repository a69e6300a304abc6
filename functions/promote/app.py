"""Lambda *promote*: what serves. Decides on an execution's best model, goes back to an earlier one, tells the history.

`readmission.training.promote` and `ledger`.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.database import connect
from readmission.training import ledger
from readmission.training.promote import promote, rollback

logger = observability.logger("promote")
metrics = observability.metrics("promote")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """A `PromoteEvent` of the state machine, or a person's `{"rollback": {…}}` or `{"history": {"limit": n}}`."""
    model = settings.ModelSettings.from_environment()
    promoted = False
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        if "history" in event:
            result: Any = ledger.history(event["history"], clean, model.name)
        elif "rollback" in event:
            result = rollback(event["rollback"], clean, model)
            logger.info("rolled back", extra={**result})
        else:
            result = promote(event, clean, model)
            promoted = result["decision"] == "promoted"
            logger.info("decided", extra={**result})
    metrics.add_metric(observability.MODELS_PROMOTED, MetricUnit.Count, int(promoted))
    return result
