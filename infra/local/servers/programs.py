"""The command and the environment of every supervised program.

supervisord starts `python -m infra.local.servers.programs NAME`, which becomes that program. So neither its
configuration nor any command line holds a password, and no program inherits the caller's environment.
"""

import os
import shutil
import sys
from collections.abc import Callable
from urllib.parse import quote

from infra.local.errors import LocalError
from infra.local.servers import postgres, prometheus
from infra.local.settings import ROOT, Settings, load

MARK = "READMISSION_LOCAL_DIR"
"""The environment variable by which the platform's processes are recognised; its value is the platform's folder."""
ARTIFACTS = "s3://readmission-mlflow-000000000000/artifacts"
LOCALSTACK = ROOT / "infra" / "localstack"
LOCALSTACK_PYTHON = LOCALSTACK / ".venv" / "bin" / "python"

PASSED_ON = (
    "PATH",
    "LANG",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
)
"""All that is taken over from the caller: how Python finds its libraries and functions reach the internet."""


def clean_environment(settings: Settings) -> dict[str, str]:
    """The start of every program's environment. HOME lies in the platform's folder too, so that no
    configuration of the caller (~/.aws) counts and nothing is written elsewhere."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    passed |= {name.lower(): value for name, value in passed.items() if name.endswith("_PROXY")}
    unproxied = os.environ.get("NO_PROXY", "").split(",")
    no_proxy = ",".join(sorted({*unproxied, "127.0.0.1", "localhost"} - {""}))
    return {
        "PATH": os.defpath,
        **passed,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "HOME": str(settings.home),
        "PYTHONUNBUFFERED": "1",
        "LOCAL_DIR": str(settings.directory),
        MARK: str(settings.directory),
    }


def refuse_missing_localstack() -> None:
    if not LOCALSTACK_PYTHON.exists():
        raise LocalError(
            f"LocalStack is not installed: {LOCALSTACK_PYTHON} is missing. "
            f"Run: uv sync --project {LOCALSTACK.relative_to(ROOT)}"
        )


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
        # Its services call each other (the gateway Lambda, Lambda its logs) without HTTP, which cost a request a third
        # of its processor time.
        "IN_MEMORY_CLIENT": "1",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PROCESS_RUNTIMES": str(LOCALSTACK / ".runtimes"),
        "CLOUDWATCH_DATABASE": str(settings.cloudwatch / "metrics.db"),
    }


def _mlflow(settings: Settings) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(settings.mlflow_port), "--workers", "2", "--artifacts-destination", ARTIFACTS]
    server = postgres.database(settings)
    login = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
    return command, {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+pg8000://{login}@{server.host}:{server.port}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": settings.localstack_url,
        "AWS_ENDPOINT_URL": settings.localstack_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Jobs (LLM judges, trace roll-ups) are not used; without them no consumer processes are started.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
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
    """Replaces this process. What a program left in its temporary folder is of no use to the next."""
    settings = load()
    temporary = settings.temporary / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    command, own = PROGRAMS[name](settings)
    environment = clean_environment(settings) | {"TMPDIR": str(temporary)} | own
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    try:
        become(sys.argv[1])
    except LocalError as error:
        sys.exit(str(error))
