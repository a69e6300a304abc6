import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.ui.fakes import CloudWatch, serving
from ui.services import measurements
from ui.services.measurements import MeasurementsUnavailable, Point, Prometheus, Window

START = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=1), timedelta(minutes=1))


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def api(name: str, **dimensions: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, (("service", "predict"), *dimensions.items())


def test_a_window_consists_of_whole_steps_and_includes_the_current_one() -> None:
    now = datetime(2026, 11, 24, 12, 7, 31, tzinfo=UTC)
    window = Window.last(timedelta(hours=6), timedelta(minutes=5), now)
    assert (window.start, window.end) == (datetime(2026, 11, 24, 6, 10, tzinfo=UTC), now.replace(minute=10, second=0))


@pytest.mark.parametrize(
    ("share", "counts", "seconds"),
    [
        (0.5, {0.005: 10}, 0.00375),  # the middle of its bucket, which starts at the bound below
        (0.95, {0.001: 90, 0.01: 10}, 0.0075),
        (0.5, {0.001: 50, 0.01: 50}, 0.001),
        (0.95, {0.001: 10, float("inf"): 10}, 10),  # no better estimate than the last bound
    ],
)
def test_a_percentile_is_interpolated_in_its_bucket(share: float, counts: dict[float, float], seconds: float) -> None:
    assert measurements.quantile(share, counts) == pytest.approx(seconds)


def test_cloudwatch_sums_over_all_other_dimensions() -> None:
    client = CloudWatch(
        {
            api("Requests", route="/predict", status="200"): {0: 5, 1: 7},
            api("Requests", route="/model", status="200"): {1: 1},
            api("Requests", route="/predict", status="422"): {1: 2},
            ("Requests", (("service", "history"), ("route", "/model/history"), ("status", "200"))): {0: 9},
        }
    )
    found = measurements.CloudWatch(client).increase("Requests", "status", {"service": "predict"}, WINDOW)
    assert found == [Point(at(0), "200", 5), Point(at(1), "200", 8), Point(at(1), "422", 2)]
    assert client.periods == {60}


def test_everything_on_the_page_can_be_read_from_cloudwatch() -> None:
    client = CloudWatch(
        {
            api("Requests", route="/predict", status="200"): {0: 10},
            api("RequestDurationBucket", route="/predict", le="0.001"): {0: 9},
            api("RequestDurationBucket", route="/predict", le="0.0025"): {0: 1},
            api("Predictions", model_version="2", readmitted="NO"): {0: 10},
            ("RowsCleaned", (("service", "clean"),)): {3: 100},
            ("RowsQuarantined", (("service", "clean"),)): {3: 1},
        }
    )
    found = measurements.measure(measurements.CloudWatch(client), WINDOW)
    assert found.requests == [Point(at(0), "200", 10)]
    assert [(point.label, round(point.value, 5)) for point in found.latency] == [("p50", 0.00078), ("p95", 0.00175)]
    assert (found.predictions[0].label, found.versions[0].label) == ("NO", "2")
    assert found.rows == [Point(at(3), "RowsCleaned", 100), Point(at(3), "RowsQuarantined", 1)]
    assert found.validation_errors == [] and not found.empty


def test_without_measurements_there_is_nothing_to_show() -> None:
    assert measurements.measure(measurements.CloudWatch(CloudWatch({})), WINDOW).empty


def prometheus(
    asked: list[dict[str, str]], *series: tuple[dict[str, str], dict[int, float]]
) -> Callable[[str, str, str], tuple[int, str]]:
    def answer(method: str, path: str, body: str) -> tuple[int, str]:
        asked.append({name: value for name, (value,) in parse_qs(urlsplit(path).query).items()})
        result = [
            {"metric": labels, "values": [[at(minute).timestamp(), str(value)] for minute, value in values.items()]}
            for labels, values in series
        ]
        return 200, json.dumps({"data": {"result": result}})

    return answer


def test_prometheus_is_queried_for_the_increase_per_step() -> None:
    asked: list[dict[str, str]] = []
    with serving(prometheus(asked, ({"status": "200"}, {1: 4, 2: 0}))) as url:
        found = Prometheus(url).increase("Requests", "status", {"service": "predict"}, WINDOW)
    assert found == [Point(at(0), "200", 4)]  # Prometheus dates a step by its end
    (query,) = asked
    assert query["query"] == 'sum by (status) (increase(readmission_requests_total{service="predict"}[60s]))'
    assert (float(query["start"]), float(query["end"])) == (at(1).timestamp(), at(60).timestamp())


def test_prometheus_cumulative_buckets_become_counts_per_bucket() -> None:
    asked: list[dict[str, str]] = []
    cumulated = [({"le": "0.001"}, {1: 6}), ({"le": "0.01"}, {1: 8}), ({"le": "+Inf"}, {1: 8})]
    with serving(prometheus(asked, *cumulated)) as url:
        found = Prometheus(url).increase("RequestDurationBucket", "le", {}, WINDOW)
    assert found == [Point(at(0), "0.001", 6), Point(at(0), "0.01", 2)]
    assert "readmission_request_duration_seconds_bucket{}" in asked[0]["query"]


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "{}"), (503, "{}")])
def test_a_server_that_is_not_prometheus_is_reported(answer: tuple[int, str]) -> None:
    with serving(lambda *_: answer) as url, pytest.raises(MeasurementsUnavailable, match=url):
        Prometheus(url).increase("Requests", None, {}, WINDOW)


def test_an_unreachable_prometheus_is_reported() -> None:
    with serving(lambda *_: (200, "{}")) as url:
        pass
    with pytest.raises(MeasurementsUnavailable):
        Prometheus(url).increase("Requests", None, {}, WINDOW)
