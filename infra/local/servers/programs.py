"""The command and the environment of every supervised program.

supervisord starts `python -m infra.local.servers.programs NAME`, which then executes that program. This keeps passwords
out of supervisord's configuration and of command lines, and the caller's environment out of the programs.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable

from infra import mlflow_server
from infra.local import environment
from infra.local.errors import LocalError
from infra.local.servers import postgres, processes, prometheus
from infra.local.servers.processes import MARK
from infra.local.settings import ROOT, Settings, load

ARTIFACT_BUCKET = "readmission-mlflow-000000000000"
ARTIFACTS = f"s3://{ARTIFACT_BUCKET}/artifacts"
LOCALSTACK = ROOT / "infra" / "localstack"
LOCALSTACK_PYTHON = LOCALSTACK / ".venv" / "bin" / "python"

PASSED_ON = (
    "PATH",
    "LANG",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)
"""With proxies, the only variables inherited from the caller: to find Python's libraries, to load another library
first, and to reach the internet."""


def clean_environment(settings: Settings) -> dict[str, str]:
    """The variables that all programs share. HOME is in the platform's folder, so that programs ignore the caller's
    configuration (~/.aws) and write nothing elsewhere."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "PATH": os.defpath,
        **passed,
        **environment.proxies(os.environ),
        **environment.direct(os.environ),
        "HOME": str(settings.home),
        "PYTHONUNBUFFERED": "1",
        "LOCAL_DIR": str(settings.directory),
        MARK: str(settings.directory),
    }


def refuse_missing_localstack() -> None:
    if not LOCALSTACK_PYTHON.exists():
        raise LocalError(f"LocalStack is not installed: {LOCALSTACK_PYTHON} is missing. Install it: make setup")


def _postgres(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return postgres.server_command(settings), {"LC_ALL": "C.UTF-8"}


def _localstack(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [str(LOCALSTACK_PYTHON), "-P", "-m", "localstack.runtime.main"], {
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(settings.localstack_files),
        "GATEWAY_LISTEN": f"127.0.0.1:{settings.localstack_port}",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        # Services call each other in memory (the gateway calls Lambda, Lambda writes logs). Over HTTP, that took a
        # third of a request's CPU time.
        "IN_MEMORY_CLIENT": "1",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PROCESS_RUNTIMES": str(LOCALSTACK / ".runtimes"),
        "CLOUDWATCH_DATABASE": str(settings.cloudwatch / "metrics.db"),
        "STEPFUNCTIONS_DATABASE": str(settings.stepfunctions / "executions.db"),
        "SNAPSHOT_FOLDER": str(settings.snapshot),
        # What stands for the trainer's image, if the stack is deployed with training jobs.
        "TRAINING_JOB_COMMAND": shlex.join([sys.executable, "-m", "readmission.training.job"]),
    }


def _mlflow(settings: Settings) -> tuple[list[str], dict[str, str]]:
    server = postgres.owner(settings, mlflow_server.DATABASE)
    return mlflow_server.command("127.0.0.1", settings.mlflow_port, ARTIFACTS), {
        **mlflow_server.environment(server.host, server.port, server.user, server.password),
        "MLFLOW_S3_ENDPOINT_URL": settings.localstack_url,
        "AWS_ENDPOINT_URL": settings.localstack_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def _s3_mirror(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "infra.local.servers.mirror"], {}


PROGRAMS: dict[str, Callable[[Settings], tuple[list[str], dict[str, str]]]] = {
    "postgres": _postgres,
    "localstack": _localstack,
    "s3-mirror": _s3_mirror,
    "mlflow": _mlflow,
    "prometheus": prometheus.command,
}


def become(name: str) -> None:
    """Replaces this process by the program, which starts with an empty temporary folder.

    A program whose first process was killed may have left others behind, such as LocalStack's functions. They may hold
    its port, and nothing supervises them. Raises LocalError if one cannot be stopped.
    """
    settings = load()
    if leftovers := [process for process in processes.ours(settings) if process.program == name]:
        print(f"stopping {len(leftovers)} processes that the last {name} left behind", flush=True)
        processes.stop_leftovers(leftovers)
    temporary = settings.temporary / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700, exist_ok=True)  # it stays if it is a file system of its own
    command, own = PROGRAMS[name](settings)
    os.execvpe(command[0], command, clean_environment(settings) | {"TMPDIR": str(temporary)} | own)


if __name__ == "__main__":
    try:
        become(sys.argv[1])
    except LocalError as error:
        sys.exit(str(error))
