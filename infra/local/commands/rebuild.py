"""`make rebuild`: trains a version again from the rows of then, and compares its scorer."""

import os
import subprocess
import sys

from infra.local import aws
from infra.local.commands.train_distributed import FUNCTION
from infra.local.errors import LocalError
from infra.local.settings import Settings


def rebuild(settings: Settings, version: str) -> int:
    """Returns the exit code: 0 if the same scorer came out. Raises LocalError for what is not a version number."""
    if not (version.isascii() and version.isdecimal()):
        raise LocalError(f"VERSION: {version!r} must be the number of a version, as make history shows it")
    function = aws.client(settings, "lambda").get_function_configuration(FunctionName=FUNCTION)
    environment = {**os.environ, **function["Environment"]["Variables"], **aws.environment(settings)}
    command = [sys.executable, "-m", "readmission.training.rebuild", "--version", version]
    return subprocess.run(command, env=environment, check=False).returncode
