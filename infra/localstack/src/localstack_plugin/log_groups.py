"""Writes the logs of a function into the log group that its LoggingConfig names; LocalStack ignores the name."""

from collections.abc import Callable
from functools import cache

from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.utils.patch import patch


def get_log_group_name(original: Callable[[ExecutionEnvironment], str], self: ExecutionEnvironment) -> str:
    configured: str | None = (self.function_version.config.logging_config or {}).get("LogGroup")
    return configured or original(self)


@cache
def install() -> None:
    """Further calls do nothing."""
    patch(ExecutionEnvironment.get_log_group_name)(get_log_group_name)
