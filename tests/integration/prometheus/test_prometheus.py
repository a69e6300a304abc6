"""A real Prometheus with this project's rules scrapes an exporter, and every panel of the dashboard has data."""

import json
import urllib.request
from typing import Any

from infra.local.servers import prometheus
from infra.local.settings import Settings
from tests.integration.prometheus.exporter import rising, serving
from tests.panels import ask, empty, eventually


def _targets(loaded: Settings) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{loaded.prometheus_url}/api/v1/targets", timeout=10) as answer:
        targets: list[dict[str, Any]] = json.load(answer)["data"]["activeTargets"]
        return targets


def test_it_follows_the_api_without_a_restart_and_every_panel_and_rule_has_data(observed: Settings) -> None:
    assert _targets(observed) == []
    with serving(rising()) as port:
        prometheus.point(observed, f"http://127.0.0.1:{port}/v1")
        eventually(lambda: [one["lastError"] for one in _targets(observed)] != [""], 30)
        eventually(lambda: empty(observed.prometheus_url, "30s"), 60)
        assert ask(observed.prometheus_url, 'up{job="readmission"}') == [1]
    eventually(lambda: ask(observed.prometheus_url, 'up{job="readmission"}') != [0], 30)
    pending = 'ALERTS{alertname="ExporterDown"}'
    eventually(lambda: ask(observed.prometheus_url, pending) != [1], 30)
