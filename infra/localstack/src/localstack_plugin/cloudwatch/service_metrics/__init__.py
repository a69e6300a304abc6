"""The metrics that AWS services publish themselves: API Gateway, Lambda and Step Functions.

LocalStack publishes only Lambda's Invocations and Errors, each in a thread of its own.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from localstack.services.plugins import Service
from localstack.utils.patch import patch

# Each module has a function `install`. It imports much of its service, so it is imported when the service starts.
_MODULES = {"apigateway": "gateway", "lambda": "functions", "stepfunctions": "executions"}


def start_service(original: Callable[..., Any], self: Service, *arguments: Any, **named: Any) -> Any:
    """Installs the service's metrics, then calls the original."""
    if module := _MODULES.get(self.name()):
        import_module(f"{__name__}.{module}").install()
    return original(self, *arguments, **named)


def install() -> None:
    """Must run before the services start."""
    patch(Service.start)(start_service)
