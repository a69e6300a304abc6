"""A real Prometheus with this project's rules scrapes an exporter, and every panel of the dashboard has data."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import settings
from infra.local.servers import prometheus, ready
from infra.local.settings import Settings
from tests.integration.prometheus.exporter import TOKEN, serving
from tests.leash import die_with_parent
from tests.panels import ask, empty, eventually
from tests.platforms import free_ports


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, prometheus_program: str) -> Iterator[Settings]:
    """Configured and started like the platform's, except that the exporter uses HTTP instead of HTTPS."""
    variables = {
        "LOCAL_DIR": str(tmp_path_factory.mktemp("observed") / ".local"),
        "PROMETHEUS": prometheus_program,
        "PROMETHEUS_PORT": str(free_ports(1)[0]),
        "PROMETHEUS_INTERVAL": "1",
    }
    loaded = settings.load(variables)
    loaded.create_directories()
    prometheus.configure(loaded)
    prometheus.point(loaded, None)
    (loaded.secrets / prometheus.TOKEN).write_text(TOKEN)
    _use_http(loaded.prometheus_files / "prometheus.yml")
    command, environment = prometheus.command(loaded)
    with (loaded.logs / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=log, stderr=log, preexec_fn=die_with_parent()
        )
    with process:
        try:
            eventually(lambda: not ready.is_ready(loaded, "prometheus"), 30)
            yield loaded
        finally:
            process.terminate()


def _use_http(configuration: Path) -> None:
    content = yaml.safe_load(configuration.read_text())
    content["scrape_configs"][0]["scheme"] = "http"
    configuration.write_text(yaml.safe_dump(content))


def _targets(loaded: Settings) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{loaded.prometheus_url}/api/v1/targets", timeout=10) as answer:
        targets: list[dict[str, Any]] = json.load(answer)["data"]["activeTargets"]
        return targets


def test_it_follows_the_api_without_a_restart_and_every_panel_and_rule_has_data(observed: Settings) -> None:
    assert _targets(observed) == []
    with serving() as port:
        prometheus.point(observed, f"http://127.0.0.1:{port}/v1")
        eventually(lambda: [one["lastError"] for one in _targets(observed)] != [""], 30)
        eventually(lambda: empty(observed.prometheus_url, "30s"), 60)
        assert ask(observed.prometheus_url, 'up{job="readmission"}') == [1]
    eventually(lambda: ask(observed.prometheus_url, 'up{job="readmission"}') != [0], 30)
    pending = 'ALERTS{alertname="ExporterDown"}'
    eventually(lambda: ask(observed.prometheus_url, pending) != [1], 30)
