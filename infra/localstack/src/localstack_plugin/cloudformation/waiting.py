"""Asks resources that are being made ten times a second whether they are ready; LocalStack asks once a second.

A function is ready when its code is unzipped, and a stack makes one function after the other.
"""

from collections.abc import Callable
from typing import Any

from localstack.services.cloudformation.resource_provider import ResourceProviderExecutor
from localstack.utils.patch import patch

SECONDS = 0.1


def deploy_loop(original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return original(*arguments, **{"sleep_time": SECONDS, **named})


def install() -> None:
    patch(ResourceProviderExecutor.deploy_loop)(deploy_loop)
