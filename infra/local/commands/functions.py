"""Calls of the application's functions, as an operator makes them."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings

# What a function may run, and a little more. Who waits for less invokes it a second time while it still runs.
_LONGEST_SECONDS = 910


def invoke(settings: Settings, function: str, event: dict[str, Any]) -> Any:
    """The function's result. Raises LocalError with its error, or if it cannot be invoked."""
    try:
        response = aws.client(settings, "lambda", _LONGEST_SECONDS).invoke(
            FunctionName=function, Payload=json.dumps(event)
        )
    except ClientError as error:
        what = error.response["Error"].get("Message", str(error))
        raise LocalError(
            f"The function {function} cannot be invoked: {what}. Deploy the application again: make deploy"
        ) from error
    except BotoCoreError as error:
        raise LocalError(
            f"The function {function} did not answer: {error}. To see what is running: make status"
        ) from error
    answer = json.load(response["Payload"])
    if "FunctionError" in response:
        raise LocalError(f"{answer.get('errorType', 'Error')}: {answer.get('errorMessage', answer)}")
    return answer
