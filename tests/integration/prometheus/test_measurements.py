"""The figures of the monitoring page and the dashboard, from a real Prometheus, are exactly what the exporter told."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from infra.local.servers import prometheus
from infra.local.settings import Settings
from tests.integration.prometheus.exporter import serving
from tests.panels import ask, eventually, panels
from tests.platforms import free_ports
from ui.services.measurements import Prometheus, Window

SPANS = [(60, 1), (360, 5), (1440, 30), (7 * 1440, 180)]  # minutes: those of the page
NAME = "readmission_predictions_total"
OLD, NEW = (f'{NAME}{{service="predict", model_version="{version}", readmitted="NO"}}' for version in (1, 2))


@dataclass(frozen=True, slots=True)
class Told:
    """The address of a Prometheus, and the time of its first scrape."""

    url: str
    since: float


@pytest.fixture(scope="module")
def told(observed: Settings) -> Iterator[Told]:
    """After its first scrape a counter rose by 7 and 5, and a new one began with 979. The exporter moved meanwhile."""
    counters = {OLD: 5000}

    def text() -> str:
        lines = [f"{series} {value}" for series, value in counters.items()]
        return "\n".join([*lines, "readmission_cloudwatch_up 1", ""])

    def until(series: str, value: int) -> None:
        counters[series] = value
        eventually(lambda: ask(observed.prometheus_url, series) != [value], 30)

    # Prometheus lists instances by name: the oldest samples come first, so that the newer instance could hide them.
    first, second = sorted(free_ports(2), key=str)
    with serving(text, first):
        prometheus.point(observed, f"http://127.0.0.1:{first}/v1")
        until(OLD, 5000)
        since = time.time()
        until(OLD, 5007)
        until(NEW, 979)
    prometheus.point(observed, None)  # a pause
    eventually(lambda: ask(observed.prometheus_url, OLD), 30)
    counters[OLD] += 5
    with serving(text, second):
        prometheus.point(observed, f"http://127.0.0.1:{second}/v1")
        eventually(lambda: ask(observed.prometheus_url, OLD) != [5012], 30)
        yield Told(observed.prometheus_url, since)


@pytest.mark.parametrize(("span", "step"), SPANS)
def test_every_range_shows_the_same_exact_totals(told: Told, span: int, step: int) -> None:
    window = Window.last(timedelta(minutes=span), timedelta(minutes=step), datetime.now(UTC))
    totals: Counter[str] = Counter()
    for point in Prometheus(told.url).increase("Predictions", "model_version", {"service": "predict"}, window):
        totals[point.label] += point.value
    assert totals == {"1": 12, "2": 979}


def test_a_range_that_begins_between_two_jumps_shows_only_the_later_ones(told: Told) -> None:
    step = timedelta(seconds=1)
    now = datetime.fromtimestamp(time.time(), UTC)
    points = Prometheus(told.url).increase("Predictions", "model_version", {}, Window.last(60 * step, step, now))
    jumps = [point.value for point in points if point.label == "1"]
    assert jumps == [7, 5]
    (later,) = (point.time for point in points if point.value == 5)
    window = Window(later, later + 60 * step, step)
    assert [point.value for point in Prometheus(told.url).increase("Predictions", "model_version", {}, window)] == [5]


def test_the_dashboard_shows_the_same_totals(told: Told) -> None:
    (panel,) = [one for one in panels() if one["title"] == "Predictions"]
    (target,) = panel["targets"]
    # In milliseconds: the next scrape, which came within a second, already had the first jump.
    window = f"{int(1000 * (time.time() - told.since))}ms"
    assert ask(told.url, target["expr"].replace("$__range", window)) == [12 + 979]
