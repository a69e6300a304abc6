"""The pages' settings, from the environment variables that `make env` exports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


class NotConfigured(Exception):
    """A required environment variable is missing; `name` is its name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set")
        self.name = name


@dataclass(frozen=True, slots=True)
class Configuration:
    """`mlflow_url` is None if the pages have only the gateway: they then show no plots and no evaluations.

    `mlflow_secret` names the secret with MLflow's credentials, empty for a server without authentication.
    """

    api_url: str
    api_key: str | None
    api_ca: str | None
    stack_name: str
    prometheus_url: str | None
    mlflow_url: str | None
    mlflow_secret: str = ""


def load(environment: Mapping[str, str] = os.environ) -> Configuration:
    """Raises NotConfigured without API_URL. boto3 reads its own AWS_ variables."""
    if not environment.get("API_URL"):
        raise NotConfigured("API_URL")
    return Configuration(
        api_url=environment["API_URL"],
        api_key=environment.get("API_KEY") or None,
        api_ca=environment.get("API_CA") or None,
        stack_name=environment.get("STACK_NAME") or "readmission",
        prometheus_url=(environment.get("PROMETHEUS_URL") or "").rstrip("/") or None,
        mlflow_url=(environment.get("MLFLOW_TRACKING_URI") or "").rstrip("/") or None,
        mlflow_secret=environment.get("MLFLOW_SECRET") or "",
    )
