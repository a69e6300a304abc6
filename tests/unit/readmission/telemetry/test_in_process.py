"""Metrics that a process keeps for Prometheus."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from readmission.domain.contract import CLASSES
from readmission.telemetry import metrics
from readmission.telemetry.exporter.catalog import METRIC_FAMILIES
from readmission.telemetry.in_process import PrometheusMeter, Replica, of_processes
from readmission.telemetry.metrics import METRICS, prometheus_name


def scraped(meter: PrometheusMeter, replica: str = "api-1") -> dict[str, Metric]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Replica(meter.registry, replica))
    return {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}


def values(meter: PrometheusMeter, name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for family in scraped(meter).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_it_has_the_families_of_the_exporter_with_their_types_labels_and_texts() -> None:
    meter = PrometheusMeter("predict")
    meter.count(metrics.PREDICTIONS, model_version="3", readmitted="NO")
    meter.set(metrics.MODEL_PROMOTED_TIMESTAMP, 1_700_000_000)
    found = scraped(meter)
    exported = {family.name: family for family in METRIC_FAMILIES}
    written = {prometheus_name(metric) for metric in METRICS if "predict" in metric.services}
    assert found.keys() == written - {"readmission_cold_start"}
    for name, family in found.items():
        assert (family.type, family.documentation) == (exported[name].kind, exported[name].help)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == {*exported[name].labels, "replica"}


def test_counters_and_histograms_whose_labels_are_known_begin_at_0() -> None:
    meter = PrometheusMeter("predict")
    assert values(meter, "readmission_requests_total", route="/predict", status="200") == [0]
    assert values(meter, "readmission_requests_total", route="/model/history") == []  # of another function
    assert values(meter, "readmission_scorer_duration_seconds_bucket", le="2.5e-05") == [0]
    assert values(meter, "readmission_model_promoted_timestamp_seconds") == []


def test_with_the_first_forecast_of_a_version_its_other_classes_are_0() -> None:
    meter = PrometheusMeter("predict")
    meter.count(metrics.PREDICTIONS, model_version="3", readmitted="NO")
    found = {
        readmitted: values(meter, "readmission_predictions_total", readmitted=readmitted) for readmitted in CLASSES
    }
    assert found == {"<30": [0], ">30": [0], "NO": [1]}


def test_it_counts_observes_and_sets() -> None:
    meter = PrometheusMeter("predict")
    meter.count(metrics.PREDICTIONS, 4, model_version="3", readmitted="NO")
    meter.count(metrics.PREDICTIONS, model_version="3", readmitted="NO")
    meter.observe(metrics.REQUEST_DURATION, 0.004, route="/predict")
    meter.set(metrics.MODEL_PROMOTED_TIMESTAMP, 1_700_000_000)
    meter.set(metrics.MODEL_PROMOTED_TIMESTAMP, 1_800_000_000)
    assert values(meter, "readmission_predictions_total", model_version="3", readmitted="NO") == [5]
    duration = "readmission_request_duration_seconds"
    assert values(meter, f"{duration}_bucket", route="/predict", le="0.0025") == [0]
    assert values(meter, f"{duration}_bucket", route="/predict", le="0.005") == [1]
    assert values(meter, f"{duration}_sum", route="/predict") == [0.004]
    assert values(meter, "readmission_model_promoted_timestamp_seconds") == [1_800_000_000]


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        (metrics.REQUESTS, {"route": "/predict"}),
        (metrics.SCORER_DURATION, {"patient": "8222157"}),
        (metrics.ROWS_READ, {}),
        (metrics.COLD_STARTS, {"function_name": "readmission-predict"}),
    ],
)
def test_a_metric_that_is_not_in_the_table_is_refused(name: str, dimensions: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=name):
        PrometheusMeter("predict").count(name, **dimensions)


# prometheus_client looks at the folder when it is imported, so that only new processes can share one.
WORKER = """
from readmission.telemetry import metrics
from readmission.telemetry.in_process import PrometheusMeter
meter = PrometheusMeter("predict")
meter.count(metrics.REQUESTS, 3, route="/predict", status="200")
meter.observe(metrics.SCORER_DURATION, 0.0001)
meter.set(metrics.MODEL_PROMOTED_TIMESTAMP, {promoted})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for promoted in (1_800_000_000, 1_700_000_000):
        program = WORKER.format(promoted=promoted)
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}, check=True
        )
    yield tmp_path


def test_the_metrics_of_several_processes_add_up_also_of_those_that_have_ended(folder: Path) -> None:
    families = {family.name: family for family in Replica(of_processes(str(folder)), "api-1").collect()}
    assert families["readmission_requests"].documentation == "requests answered by a function"
    found = {
        (sample.name, sample.labels.get("status"), sample.labels.get("le")): sample.value
        for family in families.values()
        for sample in family.samples
        if sample.labels.get("route", "/predict") == "/predict" and sample.labels["replica"] == "api-1"
    }
    assert found["readmission_requests_total", "200", None] == 6
    assert found["readmission_scorer_duration_seconds_bucket", None, "0.0001"] == 2
    assert found["readmission_scorer_duration_seconds_bucket", None, "+Inf"] == 2
    # The newest, as after a rollback: the timestamp is that of the last process that set it.
    assert found["readmission_model_promoted_timestamp_seconds", None, None] == 1_700_000_000
