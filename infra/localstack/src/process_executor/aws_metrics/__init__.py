"""The metrics that AWS's services publish by themselves: API Gateway, Lambda and Step Functions.

LocalStack publishes Lambda's Invocations and Errors only, each in a thread of its own.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from localstack.services.plugins import Service
from localstack.utils.patch import patch

# Each has a function `publish`, and needs much of its service: it is imported when that starts.
_MODULES = {"apigateway": "gateway", "lambda": "functions", "stepfunctions": "executions"}


def start_service(original: Callable[..., Any], self: Service, *arguments: Any, **named: Any) -> Any:
    """As the original; what the service has to publish is put in place before."""
    if module := _MODULES.get(self.name()):
        import_module(f"{__name__}.{module}").publish()
    return original(self, *arguments, **named)


def publish() -> None:
    """Puts all of it in place; to be called before the services start."""
    patch(Service.start)(start_service)
