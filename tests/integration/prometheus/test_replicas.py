"""The API as a process, two replicas without an exporter: their metrics add up, and fill the panels that show them."""

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from readmission.telemetry import metrics
from readmission.telemetry.in_process import PrometheusMeter, Replica

from infra.local import files
from infra.local.settings import Settings
from tests.integration.prometheus.exporter import serving
from tests.panels import ask, empty, eventually, panels
from ui.services.measurements import Prometheus, Window

# What only Lambda, the gateway, the pipeline and the exporter tell; docs/operations.md lists it.
OF_OTHERS = (
    "readmission_step_",
    "readmission_rows_",
    "readmission_training_",
    "readmission_promotion_",
    "readmission_model_test_score",
    "readmission_monitor",
    "readmission_predictions_recorded",
    "readmission_cold_start",
    "aws_lambda_",
    "aws_states_",
    "aws_apigateway_",
)


class Api:
    """A replica that is scraped."""

    def __init__(self, name: str) -> None:
        self.meter = PrometheusMeter("predict")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Replica(self.meter.registry, name))

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def predict(self, times: int) -> None:
        for _ in range(times):
            self.meter.count(metrics.REQUESTS, route="/predict", status="200")
            self.meter.observe(metrics.REQUEST_DURATION, 0.002, route="/predict")
            self.meter.observe(metrics.SCORER_DURATION, 0.0001)
            self.meter.count(metrics.PREDICTIONS, model_version="3", readmitted="NO")
        self.meter.set(metrics.MODEL_PROMOTED_TIMESTAMP, time.time() - 60)


def test_two_replicas_add_up_on_the_dashboard_and_on_the_pages(observed: Settings) -> None:
    first, second = Api("a-1"), Api("b-1")
    url = observed.prometheus_url
    with ExitStack() as running:
        ports = [running.enter_context(serving(api.text, path="/metrics", token="")) for api in (first, second)]
        targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        files.write(observed.prometheus_files / "api-targets.yml", json.dumps(targets))
        eventually(lambda: ask(url, 'up{job="readmission-api"}') != [1, 1], 60)
        first.predict(7)
        second.predict(5)
        total = "sum(readmission_predictions_total)"
        eventually(lambda: ask(url, total) != [12], 30)
        assert ask(url, _predictions()) == [12]
        first.predict(3)
        eventually(lambda: ask(url, total) != [15], 30)
        assert ask(url, _predictions()) == [15]
        step = timedelta(seconds=1)
        window = Window.last(60 * step, step, datetime.now(UTC))
        points = Prometheus(url).increase("Predictions", "model_version", {"service": "predict"}, window)
        assert sum(point.value for point in points) == 15
        eventually(lambda: _empty_under_load(first, url), 60)


def _empty_under_load(api: Api, url: str) -> dict[str, str]:
    """Quantiles are of the requests of the last seconds."""
    api.predict(1)
    return _empty_of_the_api(url)


def _predictions() -> str:
    (panel,) = [one for one in panels() if one["title"] == "Predictions"]
    query: dict[str, Any] = panel["targets"][0]
    text: str = query["expr"]
    return text.replace("$__range", "10m")


def _empty_of_the_api(url: str) -> dict[str, str]:
    """The panels without a value, but for those that show what others tell."""
    return {name: query for name, query in empty(url, "30s").items() if not any(one in query for one in OF_OTHERS)}
