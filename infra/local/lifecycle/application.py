"""Builds the application and deploys it to LocalStack, each only if something has changed since the last time."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from infra.local import aws, stack
from infra.local.errors import LocalError
from infra.local.servers import prometheus
from infra.local.settings import ROOT, Settings
from infra.local.terminal import step

SOURCES = ("template.yaml", "samconfig.toml", "uv.lock", "functions", "layers", "statemachines")
BUILD = ROOT / ".aws-sam" / "build"
BUILT = ROOT / ".aws-sam" / "built-from"
LOG_LINES = 25


def deploy(settings: Settings) -> stack.Stack:
    """Raises LocalError with the last lines of `sam`'s output if it fails."""
    built_from = _fingerprint()
    with step("build", "sam build: functions and layers") as outcome:
        outcome.text = _build(settings, built_from)
    with step("deploy", "sam deploy to LocalStack") as outcome:
        outcome.text = _deploy(settings, built_from)
    remember(settings)
    deployed = stack.get(settings)
    prometheus.point(settings, deployed.api_url)
    return deployed


def remember(settings: Settings) -> None:
    """Records whether the stack is deployed now, for `redeploy`. It may not have been deployed by `deploy`."""
    try:
        deployed = stack.find(settings) is not None
    except LocalError:
        return  # LocalStack does not answer, so the last record stands
    if deployed:
        _mark(settings).touch()
    else:
        _mark(settings).unlink(missing_ok=True)


def redeploy(settings: Settings) -> str:
    """Deploys the stack again if the previous LocalStack had it. Returns a summary."""
    if not _mark(settings).exists():
        return "nothing was deployed"
    built_from = _fingerprint()
    return f"{_build(settings, built_from)}, {_deploy(settings, built_from)}"


def _mark(settings: Settings) -> Path:
    return settings.directory / "deployed"


def _build(settings: Settings, built_from: str) -> str:
    if BUILT.exists() and BUILT.read_text() == built_from and BUILD.is_dir():
        return "already built"
    BUILT.unlink(missing_ok=True)
    _sam(settings, "build")
    BUILT.write_text(built_from)
    return "built"


def _deploy(settings: Settings, built_from: str) -> str:
    wanted = f"{built_from[:24]}.{settings.mlflow_port}"
    found = stack.find(settings)
    if found and found.tags.get("build") == wanted:
        return "already deployed"
    _sam(
        settings,
        "deploy",
        "--tags",
        f"build={wanted}",
        "--parameter-overrides",
        "DatabaseTls=disable",
        f"MlflowTrackingUri={settings.mlflow_url}",
        f"Architecture={_architecture()}",
        f"ApiKeyValue={_kept(settings, 'api-key')}",
        f"MetricsTokenValue={_kept(settings, 'metrics-token')}",
        # The person who starts a run here may read whatever this machine may.
        "AllowHttpSources=on",
        "AllowPrivateSources=on",
        # On AWS, CloudWatch charges for queries. Here they are free, so the metrics can be fresh.
        "MetricsCacheSeconds=5",
    )
    return "deployed"


def _sam(settings: Settings, command: str, *options: str) -> None:
    log = settings.log(f"sam-{command}")
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        **aws.environment(settings),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ARCHITECTURE": _architecture(),
        "SAM_CLI_TELEMETRY": "0",
    }
    with log.open("w") as file:
        finished = subprocess.run(
            [binaries / "sam", command, *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        tail = "\n".join(log.read_text().splitlines()[-LOG_LINES:])
        raise LocalError(f"`sam {command}` failed:\n{tail}\nThe complete output: {log}")


def _architecture() -> str:
    return "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"


def _kept(settings: Settings, name: str) -> str:
    """A secret of the API, generated once, so that clients can keep using it after a restart."""
    file = settings.secrets / name
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(30))
    return file.read_text()


def _fingerprint() -> str:
    """A digest of everything that `sam build` reads."""
    digest = sha256(_architecture().encode())
    for path in _files(SOURCES):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
