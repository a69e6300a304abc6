"""The table of metrics."""

import re
from math import inf

import pytest
from readmission.telemetry import metrics
from readmission.telemetry.metrics import METRICS, Metric


def test_names_are_unique_and_valid_in_cloudwatch() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in names)


def test_every_metric_name_constant_is_in_the_table() -> None:
    kept = {"NAMESPACE", "SERVICE", "LE", "OTHER"}
    constants = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    assert constants - {getattr(metrics, name) for name in kept} == set(metrics.BY_NAME)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_units_match_the_kind_of_metric(metric: Metric) -> None:
    unit = {"counter": {"Count"}, "summary": {"Seconds"}, "histogram": {"Seconds"}, "gauge": {"Seconds", "None"}}
    assert metric.unit in unit[metric.kind]
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_only_versions_and_functions_are_dimensions_without_a_list_of_values(metric: Metric) -> None:
    assert {name for name, values in metric.dimensions.items() if not values} <= {"model_version", "function_name"}


@pytest.mark.parametrize(
    ("value", "le"),
    [(0, "0.0005"), (0.0005, "0.0005"), (0.000501, "0.001"), (0.9, "1"), (10, "10"), (10.000001, "+Inf")],
)
def test_an_observation_is_counted_in_the_smallest_bucket_that_includes_it(value: float, le: str) -> None:
    assert metrics.bucket_for(metrics.BY_NAME[metrics.REQUEST_DURATION], value) == le


@pytest.mark.parametrize(
    ("bound", "text"), [(0.000025, "0.000025"), (0.0025, "0.0025"), (1, "1"), (10, "10"), (inf, "+Inf")]
)
def test_a_bound_is_written_as_a_plain_decimal(bound: float, text: str) -> None:
    assert metrics.le_text(bound) == text


def test_every_bound_keeps_its_value() -> None:
    bounds = [bound for metric in METRICS for bound in metric.buckets]
    assert [float(metrics.le_text(bound)) for bound in bounds] == bounds


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (metrics.REQUESTS, "readmission_requests"),
        (metrics.REQUEST_DURATION, "readmission_request_duration_seconds"),
        (metrics.COLD_STARTS, "readmission_cold_start"),
        (metrics.MODEL_PROMOTED_TIMESTAMP, "readmission_model_promoted_timestamp_seconds"),
        (metrics.MODEL_TEST_SCORE, "readmission_model_test_score"),
    ],
)
def test_prometheus_names_are_snake_case_with_the_unit(name: str, family: str) -> None:
    assert metrics.prometheus_name(metrics.BY_NAME[name]) == family
