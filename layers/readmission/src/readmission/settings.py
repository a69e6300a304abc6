"""The one module that reads the environment. A setting that is missing or wrong fails with its variable's name."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, cast

from readmission.errors import ConfigurationError

type Tls = Literal["disable", "require", "verify-full"]

_NEWEST: Final = 300_000
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86_400:
        raise ConfigurationError(f"the environment variable {name} is no number of seconds: {text!r}")
    return seconds


def _count(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ConfigurationError(f"the environment variable {name} is no number from 1 on: {text!r}")
    return int(text)


def _origins(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = tuple(origin for part in environment.get(name, "").split(",") if (origin := part.strip()))
    for origin in origins:
        # A browser sends an origin without a path; one with a path, or a slash, would never match.
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(f"the environment variable {name} has no web origin: {origin!r}")
    return origins


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the database's credentials lie, and how its connection is protected."""

    secret: str
    tls: Tls

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        tls = environment.get("DATABASE_TLS", "require")
        if tls not in ("disable", "require", "verify-full"):
            raise ConfigurationError(f"the environment variable DATABASE_TLS is no TLS mode: {tls!r}")
        return cls(secret=_required(environment, "DATABASE_SECRET"), tls=cast(Tls, tls))


def data_bucket(environment: Mapping[str, str] = os.environ) -> str:
    """The S3 bucket of sources, batches and manifests."""
    return _required(environment, "DATA_BUCKET")


def default_source(environment: Mapping[str, str] = os.environ) -> str:
    """The data source of an execution that names none."""
    return _required(environment, "DEFAULT_SOURCE")


def model_name(environment: Mapping[str, str] = os.environ) -> str:
    """The name of the MLflow experiment and of the registered model."""
    return _required(environment, "MODEL_NAME")


def max_invalid_share(environment: Mapping[str, str] = os.environ) -> float:
    """The largest share of a run's rows, 0 to 1, that may be in quarantine."""
    text = environment.get("MAX_INVALID_SHARE", "0.02")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"the environment variable MAX_INVALID_SHARE is no share from 0 to 1: {text!r}")
    return share


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where models are tracked and registered, under which name, and from how many of the newest encounters they learn.

    What a training takes grows with its rows, and a function has limits: the default fits into 3 GB and 15 minutes.
    """

    tracking_uri: str
    name: str
    newest: int = _NEWEST

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        uri = _required(environment, "MLFLOW_TRACKING_URI")
        if not uri.startswith(("http://", "https://")):
            raise ConfigurationError(f"the environment variable MLFLOW_TRACKING_URI is no http(s) URL: {uri!r}")
        newest = _count(environment, "MAX_TRAINING_ROWS", _NEWEST)
        return cls(tracking_uri=uri.rstrip("/"), name=model_name(environment), newest=newest)


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """The model to serve, how long (seconds) an answer may rest on the last look at the registry, and to whose pages.

    `cors_origins` are the web origins whose pages may ask; `*` is any.
    """

    model: ModelSettings
    refresh_seconds: float
    cors_origins: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(
            model=ModelSettings.from_environment(environment),
            refresh_seconds=_seconds(environment, "MODEL_REFRESH_SECONDS", 10),
            cors_origins=_origins(environment, "CORS_ALLOW_ORIGINS"),
        )


@dataclass(frozen=True, slots=True)
class ExporterSettings:
    """Whose metrics to export, and how long (seconds) an answer may rest on the last look at CloudWatch.

    Without `state_machine_arn` those of Step Functions are left out.
    """

    stack_name: str
    state_machine_arn: str
    cache_seconds: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(
            stack_name=_required(environment, "STACK_NAME"),
            state_machine_arn=environment.get("STATE_MACHINE_ARN", ""),
            cache_seconds=_seconds(environment, "METRICS_CACHE_SECONDS", 15),
        )


def metrics_token_secret(environment: Mapping[str, str] = os.environ) -> str:
    """The secret whose value a client of the function *metrics* sends as its bearer token."""
    return _required(environment, "METRICS_TOKEN_SECRET")


def metrics_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """The bearer token of the exporter that runs as a process; None when it asks for none."""
    return environment.get("METRICS_TOKEN") or None


def server_address(environment: Mapping[str, str] = os.environ, default_port: int = 8000) -> tuple[str, int]:
    """The host and port that the API, or the exporter, listens on as a process."""
    text = environment.get("PORT", str(default_port))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise ConfigurationError(f"the environment variable PORT is no port: {text!r}")
    return environment.get("HOST", "127.0.0.1"), int(text)
