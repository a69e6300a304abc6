"""Runs the queries of the Grafana dashboard and the recording rules against a live Prometheus."""

import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import yaml

from infra.grafana.dashboard import FILE, PRICES
from infra.local.servers.prometheus import SOURCE


def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads(FILE.read_text())
    return board


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries(window: str) -> dict[str, str]:
    """Every query by its panel's title and letter, with values for Grafana's variables: `window` for rates and steps, a
    range of three hours, all routes."""
    values = PRICES | {"__rate_interval": window, "__interval": window, "__range": "3h", "route": ".*"}
    pattern = re.compile(r"\$(\w+)")
    return {
        f"{panel['title']} {target['refId']}": pattern.sub(lambda match: values[match[1]], target["expr"])
        for panel in panels()
        for target in panel["targets"]
    }


def recorded() -> set[str]:
    groups = yaml.safe_load((SOURCE / "rules" / "recording.yml").read_text())["groups"]
    return {rule["record"] for group in groups for rule in group["rules"]}


def ask(url: str, query: str) -> list[float]:
    """The current values of all series. The test fails with Prometheus' error."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10
        ) as answer:
            return [float(series["value"][1]) for series in json.load(answer)["data"]["result"]]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error


def shows_something(values: list[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def empty(url: str, window: str) -> dict[str, str]:
    """The panels' queries and the recorded series that have no value."""
    asked = queries(window) | {name: name for name in recorded()}
    return {title: query for title, query in asked.items() if not shows_something(ask(url, query))}


def eventually(problem: Callable[[], Any], seconds: float) -> None:
    """Waits until `problem` returns something falsy. Otherwise the test fails with its last value."""
    deadline = time.monotonic() + seconds
    while found := problem():
        assert time.monotonic() < deadline, f"after {seconds} s: {found}"
        time.sleep(1)
