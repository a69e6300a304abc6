"""The platform's settings and the paths of its files.

Environment variables come first, then the values with which the running platform was started (so every shell sees the
same platform), then the defaults below.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local import files
from infra.local.errors import LocalError

ROOT = Path(__file__).resolve().parents[2]

DEFAULTS = {
    "POSTGRES_PORT": "55432",
    "MLFLOW_PORT": "5000",
    "LOCALSTACK_PORT": "4566",
    "PROMETHEUS_PORT": "9090",
    "PROMETHEUS_INTERVAL": "15",
    "PROMETHEUS": "",
    "S3_MIRROR_BUCKETS": "readmission-data-000000000000,readmission-mlflow-000000000000",
    "DATABASE_HOST": "",
    "DATABASE_PORT": "5432",
    "DATABASE_USER": "",
    "DATABASE_PASSWORD": "",
    "SERVERS": "own",
}
PORTS = ("POSTGRES_PORT", "MLFLOW_PORT", "LOCALSTACK_PORT", "PROMETHEUS_PORT")


@dataclass(frozen=True)
class ExternalDatabase:
    """A Postgres server that the platform uses but does not run (`DATABASE_*`)."""

    host: str
    port: int
    user: str
    password: str


@dataclass(frozen=True)
class Settings:
    directory: Path
    postgres_port: int
    mlflow_port: int
    localstack_port: int
    prometheus_port: int
    prometheus_interval: int
    """Seconds between scrapes, and between evaluations of the rules."""
    prometheus: str
    """Path of the program. Empty: `prometheus` on the PATH. `off`: do not start Prometheus."""
    mirror_buckets: tuple[str, ...]
    external_database: ExternalDatabase | None
    external_servers: bool
    """LocalStack and MLflow run already, for example in containers, on the ports of these settings."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The supervised programs in start order. They stop in reverse: first MLflow, which writes to S3, then the
        mirror, whose last pass needs LocalStack. Prometheus runs only if it is installed."""
        if self.external_servers:
            return ("s3-mirror",)
        own_database = () if self.external_database else ("postgres",)
        prometheus = () if self.prometheus == "off" else ("prometheus",)
        return (*own_database, "localstack", "s3-mirror", "mlflow", *prometheus)

    @property
    def localstack_url(self) -> str:
        return f"http://127.0.0.1:{self.localstack_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.prometheus_port}"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def secrets(self) -> Path:
        return self.directory / "secrets"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def postgres_data(self) -> Path:
        return self.directory / "postgres"

    @property
    def localstack_files(self) -> Path:
        return self.directory / "localstack"

    @property
    def certificate(self) -> Path:
        """Verifies LocalStack's self-signed certificate, for the host name `localhost` only."""
        return self.localstack_files / "var" / "lib" / "localstack" / "cache" / "server.test.pem.crt"

    @property
    def prometheus_files(self) -> Path:
        return self.directory / "prometheus"

    @property
    def cloudwatch(self) -> Path:
        return self.directory / "cloudwatch"

    @property
    def stepfunctions(self) -> Path:
        return self.directory / "stepfunctions"

    @property
    def snapshot(self) -> Path:
        """What was deployed, written by LocalStack, for the next one."""
        return self.directory / "snapshot"

    @property
    def mirror(self) -> Path:
        return self.directory / "s3"

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def create_directories(self) -> None:
        """Other users can traverse the top folder only, because Postgres runs as its own user when root starts the
        platform and must reach its data."""
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        private = (
            self.run,
            self.logs,
            self.secrets,
            self.temporary,
            self.home,
            self.localstack_files,
            self.prometheus_files,
            self.cloudwatch,
            self.stepfunctions,
            self.mirror,
        )
        for directory in private:
            directory.mkdir(mode=0o700, exist_ok=True)


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises LocalError, naming the variable, for an invalid value."""
    directory = directory_of(environment)
    given = {name: environment[name] for name in DEFAULTS if environment.get(name)}
    return _parse(directory, DEFAULTS | recorded(directory) | given)


def directory_of(environment: Mapping[str, str]) -> Path:
    return (ROOT / (environment.get("LOCAL_DIR") or ".local")).resolve()


def _record(directory: Path) -> Path:
    return directory / "run" / "settings.json"


def recorded(directory: Path) -> dict[str, str]:
    """The settings with which the running platform was started; empty if none is running."""
    try:
        values: dict[str, str] = json.loads(_record(directory).read_text())
    except FileNotFoundError:
        return {}
    return values


def record(settings: Settings) -> None:
    files.write(_record(settings.directory), json.dumps(as_environment(settings), indent=1))


def forget(settings: Settings) -> None:
    _record(settings.directory).unlink(missing_ok=True)


def as_environment(settings: Settings) -> dict[str, str]:
    values = {
        "POSTGRES_PORT": str(settings.postgres_port),
        "MLFLOW_PORT": str(settings.mlflow_port),
        "LOCALSTACK_PORT": str(settings.localstack_port),
        "PROMETHEUS_PORT": str(settings.prometheus_port),
        "PROMETHEUS_INTERVAL": str(settings.prometheus_interval),
        "PROMETHEUS": settings.prometheus,
        "S3_MIRROR_BUCKETS": ",".join(settings.mirror_buckets),
    }
    if settings.external_servers:
        values["SERVERS"] = "external"
    if database := settings.external_database:
        values |= {
            "DATABASE_HOST": database.host,
            "DATABASE_PORT": str(database.port),
            "DATABASE_USER": database.user,
            "DATABASE_PASSWORD": database.password,
        }
    return values


def refuse_other_settings(settings: Settings) -> None:
    """Raises LocalError if the platform is running with different settings."""
    running = recorded(settings.directory)
    wanted = as_environment(settings)
    differing = sorted(name for name in running | wanted if running.get(name) != wanted.get(name))
    if running and differing:
        raise LocalError(f"The platform is running with a different {', '.join(differing)}. Stop it first: make down")


def _parse(directory: Path, values: Mapping[str, str]) -> Settings:
    ports = {name: _port(name, values[name]) for name in PORTS}
    if len(set(ports.values())) < len(ports):
        raise LocalError(f"{', '.join(ports)} must all be different.")
    buckets = tuple(name for name in values["S3_MIRROR_BUCKETS"].replace(" ", "").split(",") if name)
    return Settings(
        directory=directory,
        postgres_port=ports["POSTGRES_PORT"],
        mlflow_port=ports["MLFLOW_PORT"],
        localstack_port=ports["LOCALSTACK_PORT"],
        prometheus_port=ports["PROMETHEUS_PORT"],
        prometheus_interval=_seconds("PROMETHEUS_INTERVAL", values["PROMETHEUS_INTERVAL"]),
        prometheus=values["PROMETHEUS"],
        mirror_buckets=buckets,
        external_database=_external_database(values),
        external_servers=_external_servers(values),
    )


def _external_database(values: Mapping[str, str]) -> ExternalDatabase | None:
    if not values["DATABASE_HOST"]:
        return None
    for name in ("DATABASE_USER", "DATABASE_PASSWORD"):
        if not values[name]:
            raise LocalError(f"{name} is not set. DATABASE_HOST requires it.")
    return ExternalDatabase(
        host=values["DATABASE_HOST"],
        port=_port("DATABASE_PORT", values["DATABASE_PORT"]),
        user=values["DATABASE_USER"],
        password=values["DATABASE_PASSWORD"],
    )


def _external_servers(values: Mapping[str, str]) -> bool:
    if values["SERVERS"] not in ("own", "external"):
        raise LocalError(f"SERVERS must be own or external, not {values['SERVERS']!r}.")
    external = values["SERVERS"] == "external"
    if external and not values["DATABASE_HOST"]:
        raise LocalError("DATABASE_HOST is not set. SERVERS=external requires it: Postgres runs outside too.")
    return external


def _port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LocalError(f"{name} must be a port from 1 to 65535, not {text!r}.")
    return int(text)


def _seconds(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise LocalError(f"{name} must be a positive whole number of seconds, not {text!r}.")
    return int(text)
