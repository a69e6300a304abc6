"""Builds the application and deploys it to LocalStack, each only if something has changed since the last time."""

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import yaml

from infra.local import aws, environment, files, stack
from infra.local.errors import LocalError
from infra.local.lifecycle import archives, parameters, snapshot
from infra.local.lifecycle.repair import repair
from infra.local.servers import prometheus, supervision
from infra.local.settings import ROOT, Settings
from infra.local.terminal import step

SOURCES = ("template.yaml", "samconfig.toml", "uv.lock", "functions", "layers", "statemachines")
BUILD = ROOT / ".aws-sam" / "build"
BUILT = ROOT / ".aws-sam" / "built-from"
DATA_BUCKET = f"{stack.NAME}-data-000000000000"
"""The name that the mirror knows, and that the buckets of earlier releases have."""
UPLOADS = f"{stack.NAME}-uploads-000000000000"
"""The bucket that `sam deploy` uploads code to. It could make one, but asks only every 15 s if that is there."""
POLL_SECONDS = "0.5"
"""How often `sam deploy` looks whether LocalStack has finished; on AWS, where calls are limited, every 5 s."""
LOG_LINES = 25
LITTLE_SPACE = 200 << 20
"""Bytes. With fewer, `sam` or LocalStack probably failed because of the disk."""


def deploy(settings: Settings) -> stack.Stack:
    """Raises LocalError with the last lines of `sam`'s output if it fails."""
    built_from = _fingerprint()
    with step("build", "sam build: functions and layers") as outcome:
        outcome.so_far = partial(_done, settings, "build", "Building ", time.time())
        outcome.text = build(settings, built_from)
    with step("deploy", "sam deploy to LocalStack") as outcome:
        outcome.so_far = partial(_done, settings, "deploy", "_COMPLETE ", time.time())
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


def restore(settings: Settings) -> str:
    """Puts the stack back into a new LocalStack if the previous one had it and a deployment would make the same.

    Returns a summary. Raises NotRestored if LocalStack has to be replaced.
    """
    if not _mark(settings).exists():
        return "nothing was deployed"
    is_restored = snapshot.restore(settings, _key(settings, _fingerprint()))
    return "restored" if is_restored else "no snapshot of these sources and parameters"


def redeploy(settings: Settings) -> str:
    """Deploys the stack again if the previous LocalStack had it and it has not been restored. Returns a summary."""
    if not _mark(settings).exists():
        return "nothing was deployed"
    built_from = _fingerprint()
    if _is_deployed(settings, _tag(settings, built_from)):
        return "already deployed"
    return f"{build(settings, built_from)}, {_deploy(settings, built_from)}"


def _mark(settings: Settings) -> Path:
    return settings.directory / "deployed"


def build(settings: Settings, built_from: str | None = None) -> str:
    """Builds functions and layers for this machine, unless the build in `BUILD` is of the same sources.

    `built_from` is their digest, if it is known. Platforms of the same checkout share the build, so they wait for each
    other. Returns a summary. Raises LocalError with the last lines of `sam`'s output if it fails.
    """
    wanted = built_from or _fingerprint()
    BUILT.parent.mkdir(exist_ok=True)
    with BUILT.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if files.kept(BUILT) == wanted and BUILD.is_dir():
            return "already built"
        BUILT.unlink(missing_ok=True)
        _sam(settings, "build")
        archives.pack(BUILD)
        files.write(BUILT, wanted)
        return "built"


def _deploy(settings: Settings, built_from: str) -> str:
    wanted = _tag(settings, built_from)
    if _is_deployed(settings, wanted):
        return "already deployed"
    options = ["--tags", f"build={wanted}"]
    repaired = repair(settings)
    unfinished = settings.directory / "deploying"
    if repaired or unfinished.exists():
        # What the deployment that broke off has uploaded may be incomplete, but has the same name.
        options.append("--force-upload")
    unfinished.touch()
    key = _key(settings, built_from)
    aws.client(settings, "s3").create_bucket(Bucket=UPLOADS)
    with _sam_configuration(settings) as file:
        _sam(settings, "deploy", "--config-file", str(file), *options)
    unfinished.unlink()
    done = "deployed anew, because an earlier deployment had failed" if repaired else "deployed"
    reason = snapshot.save(settings, key)
    return f"{done}, but the next LocalStack must be deployed to again: {reason}" if reason else done


def _tag(settings: Settings, built_from: str) -> str:
    """What is deployed, in short: the stack has it as its tag."""
    given = parameters.digest(parameters.kept(settings))
    return ".".join(filter(None, (built_from[:24], str(settings.mlflow_port), given)))


def _is_deployed(settings: Settings, wanted: str) -> bool:
    found = stack.find(settings)
    return found is not None and found.tags.get("build") == wanted


def _key(settings: Settings, built_from: str) -> str:
    """Of all that a deployment depends on: sources, parameters with secrets, and where LocalStack is."""
    made_of = {
        "sources": built_from,
        "parameters": dict(sorted(_parameters(settings).items())),
        "port": settings.localstack_port,
    }
    return sha256(json.dumps(made_of).encode()).hexdigest()


@contextmanager
def _sam_configuration(settings: Settings) -> Iterator[Path]:
    """The repository's samconfig.toml with the parameters of this platform, while `sam deploy` runs.

    Everyone on the machine can read the arguments of a process, so the secrets among them are in a file of their owner.
    """
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    # SAM takes a value up to its first space, and no empty one, unless it is quoted.
    overrides = [
        f'{name}="{value}"' if " " in value or not value else f"{name}={value}"
        for name, value in _parameters(settings).items()
    ]
    options = configuration["default"]["deploy"]["parameters"]
    del options["resolve_s3"]
    options |= {"s3_bucket": UPLOADS, "parameter_overrides": overrides}
    file = settings.secrets / "samconfig.yaml"
    try:
        files.write(file, yaml.safe_dump(configuration))
        yield file
    finally:
        file.unlink(missing_ok=True)


def _parameters(settings: Settings) -> Mapping[str, str]:
    """The template's parameters on this platform."""
    return {
        **parameters.defaults(),
        "DatabaseTls": "disable",
        "DatabasePipelineSecretName": "readmission/database/pipeline",
        "DatabaseReaderSecretName": "readmission/database/reader",
        "CodeDeployment": "off",
        "MlflowTrackingUri": settings.mlflow_url,
        "Architecture": architecture(),
        "ApiKeyValue": _kept(settings, "api-key"),
        "MetricsTokenValue": _kept(settings, "metrics-token"),
        # The prediction log in Postgres outlives LocalStack, and is of no use with another key.
        "PatientKeyValue": _kept(settings, "patient-key"),
        # The person who starts a run here may read whatever this machine may.
        "AllowHttpSources": "on",
        "AllowPrivateSources": "on",
        # On AWS, CloudWatch charges for queries. Here they are free, so the metrics can be fresh.
        "MetricsCacheSeconds": "5",
        "DataBucketName": DATA_BUCKET,
        **parameters.kept(settings),
    }


def _sam(settings: Settings, command: str, *options: str) -> None:
    log = settings.log(f"sam-{command}")
    binaries = Path(sys.executable).parent
    variables = {
        **environment.isolated(os.environ),
        **aws.environment(settings),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ARCHITECTURE": architecture(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": POLL_SECONDS,
        "PYTHONUNBUFFERED": "1",  # `_done` reads its output while it runs
    }
    with log.open("w") as file:
        finished = subprocess.run(
            [binaries / "sam", command, *options],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        tail = "\n".join(log.read_text().splitlines()[-LOG_LINES:])
        raise LocalError(f"`sam {command}` failed:\n{tail}\nThe complete output: {log}{_cause(settings, command)}")


def _done(settings: Settings, command: str, sign: str, since: float) -> str:
    """How many lines of `sam`'s output have the sign: one for each function and layer, or for each resource."""
    log = settings.log(f"sam-{command}")
    try:
        found = log.read_text().count(sign) if log.stat().st_mtime >= since else 0
    except FileNotFoundError:
        return ""
    return f"{found} done," if found else ""


def _cause(settings: Settings, command: str) -> str:
    """A hint, if LocalStack has gone or there is hardly any space left where `sam` and LocalStack write."""
    if command == "deploy" and not supervision.runs(settings, "localstack"):
        return "\nLocalStack has stopped. Start it, then run the same command again: make up"
    for folder in (settings.directory, ROOT):
        if (free := shutil.disk_usage(folder).free) < LITTLE_SPACE:
            return f"\nThe disk of {folder} has only {free >> 20} MB left. Make space, then run the same command again."
    return ""


def architecture() -> str:
    """This machine's, by its name in the template."""
    return "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"


def _kept(settings: Settings, name: str) -> str:
    """A secret of the API, generated once, so that clients can keep using it after a restart."""
    file = settings.secrets / name
    if not files.kept(file):
        files.write(file, secrets.token_urlsafe(30))
    return file.read_text()


def _fingerprint() -> str:
    """A digest of everything that `sam build` reads."""
    digest = sha256(architecture().encode())
    for path in _files(SOURCES):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
