"""Environment variables and import path of a runtime process."""

from collections.abc import Mapping
from pathlib import Path

from localstack_plugin.executor.code import Folders

# LocalStack adds these for the init program of its containers; AWS sets none of them.
_LOCALSTACK_ONLY = {"EDGE_PORT", "AWS_LAMBDA_FUNCTION_TIMEOUT"}
_LOCALSTACK_PREFIX = "LOCALSTACK_"


def import_path(folders: Folders, runtime: str) -> list[str]:
    """The folders that AWS puts in front of the runtime's packages and the standard library, in AWS's order."""
    opt = folders.opt
    return [str(folders.task_root), str(opt / "python/lib" / runtime / "site-packages"), str(opt / "python")]


def process_variables(
    localstack: Mapping[str, object],
    function: Mapping[str, str],
    *,
    runtime: str,
    interpreter: Path,
    folders: Folders,
    tmp: Path,
) -> dict[str, str]:
    """Variables of one runtime process; LocalStack's own environment is not passed on.

    `localstack` are the variables that LocalStack makes for the execution environment (including the function's),
    `function` those in the function's configuration. As on AWS, a function may replace PATH, LANG and the like but
    not the variables that Lambda reserves.
    """
    task_root, opt = folders.task_root, folders.opt
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
    given = {name: value for name, value in localstack.items() if name in function or not _is_localstack_only(name)}
    return {name: str(value) for name, value in (unreserved | given | reserved).items()}


def _is_localstack_only(name: str) -> bool:
    return name in _LOCALSTACK_ONLY or name.startswith(_LOCALSTACK_PREFIX)
