"""Lets an execution that was stopped, or whose time was over, end as that.

In LocalStack, what runs in a Map when its execution is stopped raises an error for it, so that the execution ended as
FAILED with `States.Runtime`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from localstack.services.stepfunctions.asl.eval.environment import Environment
from localstack.services.stepfunctions.asl.eval.program_state import ProgramStopped, ProgramTimedOut
from localstack.utils.patch import patch


def set_error(original: Callable[..., None], self: Environment, error: Any) -> None:
    if not isinstance(self._program_state, ProgramStopped | ProgramTimedOut):
        original(self, error)


@cache
def install() -> None:
    """Further calls do nothing."""
    patch(Environment.set_error)(set_error)
