"""The store behind LocalStack's CloudWatch returns the figures that CloudWatch would."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from localstack_plugin.cloudwatch.errors import InvalidMetric
from localstack_plugin.cloudwatch.metric_store import MetricStore

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
NOON = DAY + timedelta(hours=12)
MINUTE = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetricStore]:
    opened = MetricStore(tmp_path / "folder" / "metrics.db")
    yield opened
    opened.close()


def dimensions(**own: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in own.items()]


def put(store: MetricStore, at: datetime = NOON, name: str = "A", account: str = "1", **datum: Any) -> None:
    own = dimensions(**datum.pop("own", {}))
    store.add_metric_data(account, "eu", "Space", [{"MetricName": name, "Dimensions": own, "Timestamp": at, **datum}])


def query(
    store: MetricStore,
    stat: str = "Sum",
    *,
    start: datetime = DAY,
    end: datetime = DAY + timedelta(days=1),
    period: int = MINUTE,
    own: list[dict[str, str]] | None = None,
    account: str = "1",
    unit: str | None = None,
    scan_by: str = "TimestampAscending",
) -> list[tuple[datetime, float]]:
    metric = {"Namespace": "Space", "MetricName": "A", "Dimensions": own or []}
    stat_of = {"Metric": metric, "Period": period, "Stat": stat, **({"Unit": unit} if unit else {})}
    found = store.get_metric_data_stat(account, "eu", {"MetricStat": stat_of}, start, end, scan_by)
    times = [datetime.fromtimestamp(moment, UTC) for moment in found["timestamps"]]
    return list(zip(times, found["values"], strict=True))


@pytest.mark.parametrize(
    "others",
    [
        {"status": "200"},
        {"status": "2"},
        {"status": "20", "route": "predict"},
        {"status": "2%"},
        {"status": "20=0"},
        {"xstatus": "20"},
        {},
    ],
)
def test_a_query_finds_only_the_metric_with_exactly_its_dimensions(store, others):
    put(store, Value=1, own=others)
    put(store, Value=10, own={"status": "20"})

    assert query(store, own=dimensions(status="20")) == [(NOON, 10)]
    assert query(store, own=dimensions(**others)) == [(NOON, 1)]


def test_the_order_of_dimensions_does_not_matter(store):
    put(store, Value=1, own={"b": "2", "a": "1"})

    assert query(store, own=dimensions(a="1", b="2")) == [(NOON, 1)]


def test_accounts_and_units_are_separate_and_a_query_without_unit_covers_all(store):
    put(store, Value=1, Unit="Seconds")
    put(store, Value=2)
    put(store, Value=4, account="2")

    assert query(store, unit="Seconds") == [(NOON, 1)]
    assert query(store, unit="None") == [(NOON, 2)]
    assert query(store) == [(NOON, 3)]
    assert store.get_units_for_metric_data_stat("1", "eu", DAY, NOON, "A", "Space") == ["None", "Seconds"]


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("SampleCount", 10),
        ("Sum", 28),
        ("Average", 2.8),
        ("Minimum", 1),
        ("Maximum", 10),
        ("p0", 1),
        ("p10", 1),
        ("p50", 2),
        ("p80", 2),
        ("p90", 3),
        ("p90.1", 10),
        ("p100", 10),
    ],
)
def test_statistics_cover_all_values_with_their_counts(store, stat, value):
    put(store, Value=1)
    put(store, Values=[2, 10], Counts=[7, 1], at=NOON + timedelta(seconds=59))
    put(store, Value=3)

    [(_, found)] = query(store, stat)

    assert math.isclose(found, value)


def test_a_period_with_a_statistic_set_has_statistics_but_no_percentiles(store):
    put(store, Value=1)
    put(store, StatisticValues={"SampleCount": 3, "Sum": 12, "Minimum": 2, "Maximum": 6})
    put(store, Value=5, at=NOON + timedelta(minutes=1))

    figures = [query(store, stat)[0][1] for stat in ("SampleCount", "Sum", "Minimum", "Maximum", "Average")]
    assert figures == [4, 13, 1, 6, 3.25]
    assert query(store, "p50") == [(NOON + timedelta(minutes=1), 5)]


def test_a_statistic_set_of_equal_values_has_percentiles(store):
    put(store, StatisticValues={"SampleCount": 3, "Sum": 12, "Minimum": 4, "Maximum": 4})

    assert query(store, "p90") == [(NOON, 4)]


@pytest.mark.parametrize("period", [MINUTE, 300, 3600, 7200, 86400])
def test_periods_start_at_multiples_of_their_length_and_are_whole(store, period):
    first, last = NOON + timedelta(seconds=1), NOON + timedelta(hours=3, seconds=1)
    for at in (first, last):
        put(store, Value=1, at=at)

    starts = [datetime.fromtimestamp(at.timestamp() // period * period, UTC) for at in (first, last)]
    expected = {start: float(starts.count(start)) for start in starts}
    found = query(store, period=period, start=first + timedelta(seconds=20), end=last + timedelta(seconds=1))
    assert found == sorted(expected.items())


def test_the_end_of_a_query_is_exclusive(store):
    put(store, Value=1)

    assert query(store, end=NOON) == []
    assert query(store, start=NOON, end=NOON + timedelta(seconds=1)) == [(NOON, 1)]


def test_the_newest_values_come_first_unless_the_query_says_otherwise(store):
    for minutes in (0, 2):
        put(store, Value=minutes, at=NOON + timedelta(minutes=minutes))

    assert [value for _, value in query(store, scan_by="TimestampDescending")] == [2, 0]


def test_only_high_resolution_data_is_kept_by_the_second(store):
    for seconds in (1, 11):
        put(store, Value=1, at=NOON + timedelta(seconds=seconds), StorageResolution=1)
    put(store, Value=1, at=NOON + timedelta(seconds=30))

    assert query(store, period=10) == [(NOON, 2), (NOON + timedelta(seconds=10), 1)]
    assert query(store, period=MINUTE) == [(NOON, 3)]


@pytest.mark.parametrize("datum", [{"Value": math.nan}, {"Values": [1, math.inf]}])
def test_a_value_that_is_not_finite_is_rejected_with_its_whole_call(store, datum):
    items = [{"MetricName": "A", "Timestamp": NOON, **own} for own in ({"Value": 1}, datum)]

    with pytest.raises(InvalidMetric, match="is invalid"):
        store.add_metric_data("1", "eu", "Space", items)

    assert query(store) == []


@pytest.mark.parametrize("stat", ["p101", "p", "tm99", "Median"])
def test_an_unknown_statistic_is_rejected(store, stat):
    with pytest.raises(InvalidMetric, match=f"{stat} is not supported"):
        query(store, stat)


def test_reopening_the_file_keeps_the_data_but_drops_old_minutes_whose_days_remain(store, tmp_path):
    old = DAY - timedelta(days=20)
    put(store, Value=1)
    put(store, Value=2, at=old)
    put(store, Value=4, at=DAY - timedelta(days=500), own={"gone": "yes"})
    store.close()

    reopened = MetricStore(tmp_path / "folder" / "metrics.db")

    assert query(reopened) == [(NOON, 1)]
    assert query(reopened, start=old) == [(NOON, 1)]
    assert query(reopened, start=old, period=86400) == [(old, 2), (DAY, 1)]
    assert query(reopened, start=old - timedelta(days=600), period=86400, own=dimensions(gone="yes")) == []
    reopened.close()


def listed(store: MetricStore, *filters: dict[str, str]) -> list[Any]:
    found = store.list_metrics("1", "eu", "Space", None, filters)["metrics"]
    return [{dimension["Name"]: dimension["Value"] for dimension in metric["dimensions"]} for metric in found]


def test_metrics_are_listed_by_some_of_their_dimensions_with_or_without_value(store):
    metrics = [{}, {"status": "20"}, {"route": "predict", "status": "200"}, {"query": "a=b"}]
    for own in metrics:
        put(store, Value=1, own=own)
        put(store, Value=1, own=own)
    put(store, Value=1, own={"old": "yes"}, at=DAY - timedelta(days=15))

    assert sorted(listed(store), key=str) == sorted(metrics, key=str)
    assert listed(store, {"Name": "status", "Value": "20"}) == [{"status": "20"}]
    assert listed(store, {"Name": "query", "Value": "a=b"}) == [{"query": "a=b"}]
    assert len(listed(store, {"Name": "status"})) == 2
    assert listed(store, {"Name": "status"}, {"Name": "route"}) == [{"route": "predict", "status": "200"}]


def test_clearing_the_store_deletes_everything(store):
    put(store, Value=1)
    [raw] = store.get_all_metric_data()
    assert (raw["n"], raw["v"], raw["c"], raw["t"]) == ("A", 1, 1, NOON.timestamp())

    store.clear_tables()

    assert (query(store), listed(store), store.get_all_metric_data()) == ([], [], [])


def test_data_put_after_clearing_starts_a_new_series(store: MetricStore) -> None:
    put(store, Value=1.0)
    store.clear_tables()
    put(store, Value=2.0)
    (listed,) = store.list_metrics("1", "eu", "Space", None, [])["metrics"]
    assert "A" in listed.values()
