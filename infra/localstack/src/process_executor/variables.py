"""Environment variables and import path of a runtime process."""

from collections.abc import Mapping
from pathlib import Path

# What LocalStack adds for the init program of its containers; AWS sets none of them.
_LOCALSTACK_ONLY = {"EDGE_PORT", "AWS_LAMBDA_FUNCTION_TIMEOUT"}
_LOCALSTACK_PREFIX = "LOCALSTACK_"


def import_path(task_root: Path, opt: Path, runtime: str) -> list[str]:
    """Folders that AWS puts in front of the runtime's packages and the standard library, in its order."""
    return [str(task_root), str(opt / "python/lib" / runtime / "site-packages"), str(opt / "python")]


def process_variables(
    localstack: Mapping[str, object],
    function: Mapping[str, str],
    *,
    runtime: str,
    interpreter: Path,
    task_root: Path,
    opt: Path,
    tmp: Path,
) -> dict[str, str]:
    """Variables of one runtime process; nothing is taken from LocalStack's own environment.

    `localstack` are the variables LocalStack made for the execution environment (the function's included),
    `function` those of the function's configuration. As on AWS a function may replace PATH, LANG and the like
    but not what Lambda reserves.
    """
    unreserved = {
        "LANG": "en_US.UTF-8",
        "PATH": f"{interpreter.parent}:/usr/local/bin:/usr/bin:/bin:{opt}/bin",
        "LD_LIBRARY_PATH": f"{task_root}:{task_root}/lib:{opt}/lib",
    }
    reserved = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "LAMBDA_TASK_ROOT": task_root,
        "LAMBDA_RUNTIME_DIR": interpreter.parents[1],
        "TMPDIR": tmp,
    }
    given = {name: value for name, value in localstack.items() if name in function or not _localstack_only(name)}
    return {name: str(value) for name, value in (unreserved | given | reserved).items()}


def _localstack_only(name: str) -> bool:
    return name in _LOCALSTACK_ONLY or name.startswith(_LOCALSTACK_PREFIX)
