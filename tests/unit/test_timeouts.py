"""A service that cannot be reached is a named error: every client gives up long before its function's time is over."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from readmission.storage import database, s3, secrets
from readmission.telemetry.exporter import cloudwatch

from tests.unit.templates import RESOURCES, ROOT

# A retry of botocore's standard mode waits up to 20 s, but the first ones 1 and 2 s.
_BACKOFF_SECONDS = 3
CLIENTS = {"secretsmanager": secrets.CONFIG, "s3": s3.CONFIG, "cloudwatch": cloudwatch.CONFIG}
# What a function asks one after the other, before it does anything else.
ASKED = {
    "plan": ("secretsmanager", "postgres", "s3"),
    "ingest": ("secretsmanager", "postgres", "s3"),
    "clean": ("secretsmanager", "postgres", "s3"),
    "check": ("secretsmanager", "postgres", "s3"),
    "train": ("secretsmanager", "postgres", "secretsmanager", "mlflow"),
    "promote": ("secretsmanager", "postgres", "secretsmanager", "mlflow"),
    "guard": ("secretsmanager", "postgres", "secretsmanager", "mlflow"),
    "history": ("secretsmanager", "postgres"),
    "record": ("secretsmanager", "postgres", "s3"),
    "outcomes": ("secretsmanager", "postgres"),
    "metrics": ("secretsmanager", "cloudwatch"),
}


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for folder in ("functions", "layers/readmission/src"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "boto3.client":
                    yield path, node


def _has_timeouts(call: ast.Call) -> bool:
    """Whether the call has a configuration: a module's constant, or one written out with a timeout."""
    for keyword in call.keywords:
        if keyword.arg == "config":
            return "connect_timeout" in ast.unparse(keyword.value) or ast.unparse(keyword.value).endswith("CONFIG")
    return False


def test_every_client_of_aws_has_timeouts_of_its_own() -> None:
    """Without, botocore waits 60 s for a connection, five times."""
    calls = list(_calls())
    assert calls
    assert [f"{path.name}:{call.lineno}" for path, call in calls if not _has_timeouts(call)] == []


def _longest(client: str, function: str) -> float:
    """Seconds until a client gives up on a service to which no packet gets through."""
    if client == "postgres":
        return database._CONNECT_SECONDS
    if client == "mlflow":
        # A server that takes the connection and does not answer. One that cannot be reached is known at once.
        variables = RESOURCES[f"{function.capitalize()}Function"]["Properties"]["Environment"]["Variables"]
        tries = 1 + variables["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
        return float(tries * variables["MLFLOW_HTTP_REQUEST_TIMEOUT"] + 2**tries)
    config: Any = CLIENTS[client]
    tries = config.retries["total_max_attempts"]
    return float(tries * config.connect_timeout + (tries - 1) * _BACKOFF_SECONDS)


@pytest.mark.parametrize("function", ASKED)
def test_a_function_has_time_left_to_name_what_it_cannot_reach(function: str) -> None:
    limit = RESOURCES[f"{function.capitalize()}Function"]["Properties"]["Timeout"]
    assert sum(_longest(client, function) for client in ASKED[function]) < limit * 0.8
