"""`make history` and `make rollback`: the promotion ledger and rollbacks, through the function `promote`."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table

FUNCTION = f"{NAME}-promote"


def history(settings: Settings, stack: Stack, limit: int) -> str:
    """The latest decisions as a table. Raises LocalError as `_invoke` does."""
    lines = _invoke(settings, stack, {"history": {"limit": limit}})
    if not lines:
        return "No model has been promoted or refused yet. To train and promote one: make pipeline"
    return table([("TIME (UTC)", "VERSION", "REPLACES", "DECISION", "REASON"), *map(_row, lines)])


def rollback(settings: Settings, stack: Stack, version: str | None, reason: str | None) -> str:
    """Puts an earlier version (by default the previous one) into production. Raises LocalError as `_invoke` does."""
    result = _invoke(settings, stack, {"rollback": {"version": version, "reason": reason}})
    return (
        f"Version {result['version']} is in production again. It replaces version {result['previous_version']}.\n"
        "The API picks it up within seconds. To see the decision: make history"
    )


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    when = line["decided_at"][:19].replace("T", " ")
    return (when, line["version"], line["previous_version"] or "-", line["decision"], line["reason"])


def _invoke(settings: Settings, stack: Stack, event: dict[str, Any]) -> Any:
    """The function's result. Raises LocalError with its error, or if it cannot be invoked."""
    try:
        response = aws.client(settings, "lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
    except ClientError as error:
        what = error.response["Error"].get("Message", str(error))
        raise LocalError(
            f"The function {FUNCTION} cannot be invoked: {what}. Deploy the application again: make deploy"
        ) from error
    except BotoCoreError as error:
        raise LocalError(
            f"The function {FUNCTION} did not answer: {error}. To see what is running: make status"
        ) from error
    answer = json.load(response["Payload"])
    if "FunctionError" in response:
        raise LocalError(f"{answer.get('errorType', 'Error')}: {answer.get('errorMessage', answer)}")
    return answer
