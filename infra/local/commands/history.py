"""What served and why: the promotion ledger, and going back, by asking the application's own function."""

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
    """The newest decisions as a table. Raises LocalError as `_ask` does."""
    lines = _ask(settings, stack, {"history": {"limit": limit}})
    if not lines:
        return "Nothing has been decided yet. Train and promote a model: make pipeline"
    return table([("WHEN", "VERSION", "FROM", "DECISION", "REASON"), *map(_row, lines)])


def rollback(settings: Settings, stack: Stack, version: str | None, reason: str | None) -> str:
    """Goes back, and says what serves now. Raises LocalError as `_ask` does."""
    result = _ask(settings, stack, {"rollback": {"version": version, "reason": reason}})
    return f"Version {result['version']} is in Production; it was version {result['previous_version']}."


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    when = line["decided_at"][:19].replace("T", " ")
    return (when, line["version"], line["previous_version"] or "-", line["decision"], line["reason"])


def _ask(settings: Settings, stack: Stack, event: dict[str, Any]) -> Any:
    """The function's answer. Raises LocalError with what it says is wrong, or that it cannot be asked."""
    try:
        response = aws.client(settings, "lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
    except ClientError as error:
        what = error.response["Error"].get("Message", str(error))
        raise LocalError(f"The function {FUNCTION} cannot be called: {what}. Deploy again: make deploy") from error
    except BotoCoreError as error:
        raise LocalError(f"The function {FUNCTION} did not answer: {error}. See: make status") from error
    answer = json.load(response["Payload"])
    if "FunctionError" in response:
        raise LocalError(f"{answer.get('errorType', 'Error')}: {answer.get('errorMessage', answer)}")
    return answer
