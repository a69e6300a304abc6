from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.ui.fakes import CloudWatch, Samples, serving
from tests.unit.ui.fakes import Prometheus as FakePrometheus
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
            api("RequestDurationBucket", route="/predict/batch", le="1"): {0: 30},
            api("RequestDurationBucket", route="/health", le="0.0005"): {0: 300},
            api("Predictions", model_version="2", readmitted="NO"): {0: 10},
            ("RowsCleaned", (("service", "clean"),)): {3: 100},
            ("RowsQuarantined", (("service", "clean"),)): {3: 1},
        }
    )
    found = measurements.measure(measurements.CloudWatch(client), WINDOW)
    assert found.requests == [Point(at(0), "200", 10)]
    latency = {
        route: [(point.label, round(point.value, 5)) for point in points] for route, points in found.latency.items()
    }
    # A batch takes longer than one encounter, so their times are never in one median.
    assert latency == {
        "/predict": [("p50", 0.00078), ("p95", 0.00175)],
        "/predict/batch": [("p50", 0.75), ("p95", 0.975)],
    }
    assert (found.predictions[0].label, found.versions[0].label) == ("NO", "2")
    assert found.rows == [Point(at(3), "RowsCleaned", 100), Point(at(3), "RowsQuarantined", 1)]
    assert found.validation_errors == [] and not found.empty


def test_without_measurements_there_is_nothing_to_show() -> None:
    assert measurements.measure(measurements.CloudWatch(CloudWatch({})), WINDOW).empty


UP = "readmission_cloudwatch_up"
OK, INVALID = (f'readmission_requests_total{{service="predict", status="{status}"}}' for status in (200, 422))
LONG_AGO = -10_100  # minutes: before the longest range
SPANS = [(60, 1), (360, 5), (1440, 30), (7 * 1440, 180)]  # minutes: those of the page


def scraped(values: Callable[[float], float | None], first: float, last: float) -> list[tuple[float, float]]:
    """Samples between two minutes, where there are any: every minute, and every 15 s from minute 0 on."""
    quarters = int(4 * max(first, 0)), int(4 * last)
    times = [*range(int(first), 0), *(quarter / 4 for quarter in range(quarters[0], quarters[1] + 1))]
    return [(at(0).timestamp() + 60 * minute, value) for minute in times if (value := values(minute)) is not None]


def totals(samples: Samples, span: int, step: int) -> dict[str, float]:
    """The sums over the last minutes until 11:58."""
    window = Window.last(timedelta(minutes=span), timedelta(minutes=step), at(58))
    with serving(FakePrometheus(samples).answer) as url:
        points = Prometheus(url).increase("Requests", "status", {"service": "predict"}, window)
    found: Counter[str] = Counter()
    for point in points:
        assert window.start <= point.time < window.end and point.value > 0
        found[point.label] += point.value
    return dict(found)


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_every_range_shows_the_same_exact_totals(span: int, step: int) -> None:
    # Jumps between two scrapes, on both sides of a minute, and a status that was never seen before.
    samples = {
        UP: scraped(lambda _: 1, LONG_AGO, 58),
        OK: scraped(lambda minute: 5000 + 7 * (minute > 10) + 3 * (minute > 10.9) + 11 * (minute >= 41), LONG_AGO, 58),
        INVALID: scraped(lambda minute: 979 if minute > 20.2 else None, LONG_AGO, 58),
    }
    assert totals(samples, span, step) == {"200": 21, "422": 979}


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_what_happened_before_the_first_scrape_does_not_count(span: int, step: int) -> None:
    # The first read of CloudWatch fails: the counters come later.
    samples = {
        UP: scraped(lambda minute: float(minute > 7.1), 7, 58),
        OK: scraped(lambda minute: 5000 + 10 * (minute > 7.4), 7.25, 58),
        INVALID: scraped(lambda minute: 3 if minute > 7.6 else None, 7, 58),
    }
    assert totals(samples, span, step) == {"200": 10, "422": 3}


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_a_pause_of_the_scrapes_loses_nothing(span: int, step: int) -> None:
    def paused(minute: float) -> bool:
        return -200 < minute < 20 or 30 < minute < 50

    samples = {
        UP: scraped(lambda minute: None if paused(minute) else 1, LONG_AGO, 58),
        OK: scraped(
            lambda minute: None if paused(minute) else 100 + 6 * (minute > 25) + 8 * (minute > 40), LONG_AGO, 58
        ),
    }
    assert totals(samples, span, step) == {"200": 14}


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_a_counter_begins_again_at_new_year(span: int, step: int) -> None:
    samples = {OK: scraped(lambda minute: 5000 if minute < 30 else 4 * (minute > 30.3), LONG_AGO, 58)}
    assert totals(samples, span, step) == {"200": 4}


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_a_version_that_comes_back_after_two_weeks_counts_only_what_is_new(span: int, step: int) -> None:
    weeks = 7 * 24 * 60

    def counted(minute: float) -> float | None:
        return 5000 if minute < -2 * weeks else 5040 if minute > 20 else None

    samples = {UP: scraped(lambda _: 1, LONG_AGO, 58), OK: scraped(counted, -3 * weeks, 58)}
    assert totals(samples, span, step) == {"200": 40}


def test_a_step_is_dated_by_its_start() -> None:
    samples = {OK: scraped(lambda minute: 4.0 * (minute > 10), -10, 58)}
    with serving(FakePrometheus(samples).answer) as url:
        found = Prometheus(url).increase("Requests", "status", {"service": "predict"}, WINDOW)
    assert found == [Point(at(10), "200", 4)]


def test_cumulative_buckets_become_counts_per_bucket_and_step() -> None:
    counts = {"0.001": 6, "0.01": 8, "+Inf": 8}
    name = "readmission_request_duration_seconds_bucket"
    samples = {
        f'{name}{{le="{bound}"}}': scraped(lambda minute, more=more: 50.0 + more * (minute > 10.5), -10, 58)
        for bound, more in counts.items()
    }
    with serving(FakePrometheus(samples).answer) as url:
        found = Prometheus(url).increase("RequestDurationBucket", "le", {}, WINDOW)
    assert found == [Point(at(10), "0.001", 6), Point(at(10), "0.01", 2)]


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "{}"), (503, "{}")])
def test_a_server_that_is_not_prometheus_is_reported(answer: tuple[int, str]) -> None:
    with serving(lambda *_: answer) as url, pytest.raises(MeasurementsUnavailable, match=url):
        Prometheus(url).increase("Requests", None, {}, WINDOW)


def test_an_unreachable_prometheus_is_reported() -> None:
    with serving(lambda *_: (200, "{}")) as url:
        pass
    with pytest.raises(MeasurementsUnavailable):
        Prometheus(url).increase("Requests", None, {}, WINDOW)
