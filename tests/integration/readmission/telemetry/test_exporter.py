"""The exporter's samples on a real LocalStack, compared with what was written."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
from prometheus_client import CollectorRegistry
from readmission.telemetry.exporter.catalog import Stack
from readmission.telemetry.exporter.cloudwatch import CONFIG, CloudWatch
from readmission.telemetry.exporter.collector import CloudWatchCollector, registry
from readmission.telemetry.metrics import NAMESPACE

from tests.platforms import Platform

STACK = Stack("readmission", "")


def exporter() -> CollectorRegistry:
    cloudwatch = CloudWatch(boto3.client("cloudwatch", config=CONFIG))
    # Without a cache, so that every value is read again.
    return registry(CloudWatchCollector(cloudwatch, STACK, 1e-9, logging.getLogger("exporter")))


def datum(name: str, values: list[float], counts: list[float], at: datetime, **dimensions: str) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Values": values,
        "Counts": counts,
        "Timestamp": at,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


@pytest.fixture
def version() -> str:
    """A model version used by this test only, because tests share the platform and its CloudWatch."""
    return uuid4().hex


def test_an_exporter_and_a_new_one_read_what_was_written(system: Platform, version: str) -> None:
    client, now = boto3.client("cloudwatch"), datetime.now(UTC)
    labels = {"service": "predict", "model_version": version}
    score = {"service": "promote", "model_version": version, "metric": "auc_early"}
    first = exporter()
    assert first.get_sample_value("readmission_cloudwatch_up") == 1
    data = [
        datum("Predictions", [1.0], [17.0], now, readmitted="NO", **labels),
        datum("Predictions", [1.0, 3.0], [2.0, 1.0], now - timedelta(days=1), readmitted="NO", **labels),
        datum("Predictions", [1.0], [5.0], now, readmitted="<30", **labels),
        datum("ModelTestScore", [0.25, 0.75], [1.0, 1.0], now, **score),
    ]
    client.put_metric_data(Namespace=NAMESPACE, MetricData=data)
    # Yesterday is not counted if it was in the previous year.
    no = 22.0 if (now - timedelta(days=1)).year == now.year else 17.0
    for one in (first, exporter()):
        name = "readmission_predictions_total"
        assert one.get_sample_value(name, labels | {"readmitted": "NO"}) == no
        assert one.get_sample_value(name, labels | {"readmitted": "<30"}) == 5
        assert one.get_sample_value(name, labels | {"readmitted": ">30"}) == 0
        assert one.get_sample_value("readmission_model_test_score", score) == 0.75
    client.put_metric_data(Namespace=NAMESPACE, MetricData=data[:1])
    for one in (first, exporter()):
        assert one.get_sample_value("readmission_predictions_total", labels | {"readmitted": "NO"}) == no + 17
