"""What Prometheus reads, held against what was sent to CloudWatch."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from readmission.telemetry.exporter.catalog import METRIC_FAMILIES
from readmission.telemetry.metrics import METRICS, REQUEST_BUCKETS, REQUEST_DURATION, REQUESTS, le_text

from tests.unit.readmission.telemetry.exporter.fakes import ARN, NOON, FakeClient, exporter

PREDICT = {"service": "predict", "route": "/predict"}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


def test_every_counter_is_what_was_written_even_after_restarts(client: FakeClient) -> None:
    chance = random.Random(4)
    sent: Counter[tuple[str, str]] = Counter()
    exporters, last = [exporter(client)], datetime(2026, 12, 31, tzinfo=UTC)
    for _ in range(300):
        client.now = min(client.now + timedelta(minutes=chance.choice([1, 20, 900])), last)
        key = chance.choice(["/predict", "/model", "/health"]), chance.choice(["200", "422", "503"])
        late = client.now - timedelta(minutes=chance.choice([0, 119]))
        client.own(REQUESTS, 1, late, service="predict", route=key[0], status=key[1])
        sent[key] += 1
        if chance.random() < 0.05:
            exporters.append(exporter(client))
        if chance.random() < 0.2:
            exporters[-1].samples()
    assert len(exporters) > 5
    for one in exporters:
        samples = one.samples()
        for (route, status), count in sent.items():
            labels = {"service": "predict", "route": route, "status": status}
            assert samples["readmission_requests_total", frozenset(labels.items())] == count


def test_metrics_without_data_are_0(client: FakeClient) -> None:
    samples = exporter(client).samples()
    names = {name for name, _ in samples}
    for metric in METRICS:
        family = next(
            one for one in METRIC_FAMILIES if one.metric == metric.name and one.name.startswith("readmission")
        )
        open_labels = "model_version" in metric.dimensions
        if metric.kind != "gauge" and not open_labels:
            suffix = "_total" if metric.kind == "counter" else "_count"
            assert f"{family.name}{suffix}" in names
    values = {name: value for name, value in samples.items() if not name[0].startswith("readmission_exporter")}
    assert values.pop(("readmission_cloudwatch_up", frozenset())) == 1
    assert set(values.values()) == {0}


def test_a_histogram_is_cumulative(client: FakeClient) -> None:
    durations = [0.0004, 0.0005, 0.0006, 0.004, 0.9, 30.0]
    for value in durations:
        bound = next((le_text(bound) for bound in REQUEST_BUCKETS if value <= bound), "+Inf")
        client.own(REQUEST_DURATION, value, **PREDICT)
        client.own(f"{REQUEST_DURATION}Bucket", 1, le=bound, **PREDICT)
    one = exporter(client)
    name = "readmission_request_duration_seconds"
    for le, count in [("0.0005", 2), ("0.001", 3), ("0.0025", 3), ("0.005", 4), ("1.0", 5), ("10.0", 5), ("+Inf", 6)]:
        assert one.value(f"{name}_bucket", le=le, **PREDICT) == count
    assert one.value(f"{name}_count", **PREDICT) == 6
    assert one.value(f"{name}_sum", **PREDICT) == sum(durations)


def test_a_summary_has_count_and_sum(client: FakeClient) -> None:
    for value in (2.5, 4.0):
        client.own("StepDuration", value, service="train")
    one = exporter(client)
    assert one.value("readmission_step_duration_seconds_count", service="train") == 2
    assert one.value("readmission_step_duration_seconds_sum", service="train") == 6.5


def test_a_gauge_is_the_maximum_of_the_newest_day(client: FakeClient) -> None:
    labels = {"service": "promote", "model_version": "7", "metric": "auc_early"}
    client.own("ModelTestScore", 0.9, NOON - timedelta(days=3), **labels)
    client.own("ModelTestScore", 0.7, NOON - timedelta(hours=2), **labels)
    client.own("ModelTestScore", 0.8, NOON - timedelta(hours=3), **labels)
    assert exporter(client).value("readmission_model_test_score", **labels) == 0.8
    assert exporter(client).value("readmission_model_promoted_timestamp_seconds", service="predict") is None


def test_counters_restart_with_the_year_but_gauges_do_not(client: FakeClient) -> None:
    client.now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    client.own("RowsRead", 5, service="ingest")
    client.own("ModelPromotedTimestamp", 1.5e9, service="predict")
    one = exporter(client)
    assert one.value("readmission_rows_read_total", service="ingest") == 5
    client.now = datetime(2027, 1, 1, 0, 1, tzinfo=UTC)
    for each in (one, exporter(client)):
        assert each.value("readmission_rows_read_total", service="ingest") == 0
        assert each.value("readmission_model_promoted_timestamp_seconds", service="predict") == 1.5e9


def test_late_data_of_yesterday_are_counted(client: FakeClient) -> None:
    client.now = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)
    client.own("RowsRead", 5, service="ingest")
    one = exporter(client)
    one.samples()
    client.own("RowsRead", 2, client.now - timedelta(hours=2), service="ingest")
    assert one.value("readmission_rows_read_total", service="ingest") == 7


def test_a_metric_without_data_for_weeks_keeps_its_value_in_a_new_instance(client: FakeClient) -> None:
    client.own("RowsRead", 5, NOON - timedelta(days=90), service="ingest")
    assert exporter(client).value("readmission_rows_read_total", service="ingest") == 5


def test_a_pause_between_scrapes_loses_nothing(client: FakeClient) -> None:
    one = exporter(client)
    one.samples()
    client.now += timedelta(hours=1)
    client.own("RowsRead", 5, service="ingest")
    client.now += timedelta(hours=7)
    assert one.value("readmission_rows_read_total", service="ingest") == 5


def test_unexpected_label_values_are_exported_too(client: FakeClient) -> None:
    client.own(REQUESTS, 3, service="predict", route="/predict", status="418")
    client.own("Predictions", 2, service="predict", model_version="9", readmitted="NO")
    one = exporter(client)
    assert one.value("readmission_requests_total", status="418", **PREDICT) == 3
    assert one.value("readmission_predictions_total", service="predict", model_version="9", readmitted="NO") == 2
    # The other classes of a known version may follow.
    assert one.value("readmission_predictions_total", service="predict", model_version="9", readmitted="<30") == 0


def test_a_metric_with_other_dimensions_is_ignored(client: FakeClient) -> None:
    client.own("RowsRead", 5, service="ingest", batch="3")
    client.own("Unknown", 5, service="ingest")
    one = exporter(client)
    assert one.value("readmission_rows_read_total", service="ingest") == 0
    assert "unknown" not in one.text()


def test_an_ordinary_scrape_requests_recent_metrics_since_yesterday_once(client: FakeClient) -> None:
    client.own("RowsRead", 5, service="ingest")
    client.own("RowsAdded", 5, NOON - timedelta(days=5), service="ingest")
    one = exporter(client)
    one.samples()
    client.calls.clear()
    one.samples()
    (asked,) = client.asked()
    assert [query["MetricStat"]["Metric"]["MetricName"] for query in asked["MetricDataQueries"]] == ["RowsRead"]
    assert asked["StartTime"] == datetime(2026, 11, 23, tzinfo=UTC)


def test_pages_are_combined(client: FakeClient) -> None:
    client.page = 3
    for day in range(10):
        client.own("RowsRead", 1, NOON - timedelta(days=day), service="ingest")
        client.own("RowsAdded", 2, NOON - timedelta(days=day), service="ingest")
        client.own("Requests", 1, service="predict", route="/predict", status=str(400 + day))
    one = exporter(client)
    assert one.value("readmission_rows_read_total", service="ingest") == 10
    assert one.value("readmission_rows_added_total", service="ingest") == 20
    assert one.value("readmission_requests_total", status="409", **PREDICT) == 1


def test_aws_metrics_are_those_of_the_stack_in_seconds(client: FakeClient) -> None:
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="readmission-predict")
    client.put("AWS/Lambda", "Duration", 250, FunctionName="readmission-predict")
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="readmission-predict", Resource="readmission-predict:live")
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="other-stack-predict")
    client.put("AWS/States", "ExecutionsStarted", 1, StateMachineArn="arn:aws:states:x:0:stateMachine:other-stack")
    client.put("AWS/ApiGateway", "Latency", 12, ApiName="readmission-api", Stage="v1")
    one = exporter(client)
    function = {"function_name": "readmission-predict"}
    assert one.value("aws_lambda_invocations_total", **function) == 1
    assert one.value("aws_lambda_duration_seconds_sum", **function) == 0.25
    assert one.value("aws_lambda_duration_seconds_count", **function) == 1
    assert one.value("aws_apigateway_latency_seconds_sum", api="readmission-api", stage="v1") == 0.012
    assert "other-stack" not in one.text()


def test_aws_counters_are_0_only_for_resources_with_data(client: FakeClient) -> None:
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="readmission-plan")
    one = exporter(client)
    assert one.value("aws_lambda_errors_total", function_name="readmission-plan") == 0
    assert one.value("aws_lambda_errors_total", function_name="readmission-train") is None
    assert one.value("aws_lambda_duration_seconds_count", function_name="readmission-plan") is None
    assert "aws_states" not in one.text()


def test_the_label_of_executions_is_the_name_of_the_state_machine(client: FakeClient) -> None:
    client.put("AWS/States", "ExecutionsFailed", 1, StateMachineArn=ARN)
    one = exporter(client)
    assert one.value("aws_states_executions_failed_total", state_machine="readmission-pipeline") == 1
    assert one.value("aws_states_executions_aborted_total", state_machine="readmission-pipeline") == 0


def test_scrapes_within_the_cache_time_read_cloudwatch_once(client: FakeClient) -> None:
    one = exporter(client, cache_seconds=15)
    first = one.text()
    calls = len(client.calls)
    client.own("RowsRead", 5, service="ingest")
    one.clock[0] += 14
    assert one.text() == first and len(client.calls) == calls
    one.clock[0] += 1
    assert one.value("readmission_rows_read_total", service="ingest") == 5


def test_concurrent_scrapes_share_one_read(client: FakeClient) -> None:
    one = exporter(client, cache_seconds=15)
    answers: list[str] = []
    threads = [Thread(target=lambda: answers.append(one.text())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and len(set(answers)) == 1
    assert len([name for name, _ in client.calls if name == "list_metrics"]) == 4


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "InternalFailure"])
def test_if_cloudwatch_is_down_only_that_is_exported(
    client: FakeClient, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = exporter(client)
    client.own("RowsRead", 5, service="ingest")
    one.samples()
    client.failing = code
    assert {name for name, _ in one.samples()} == {"readmission_cloudwatch_up", "readmission_exporter_collect_seconds"}
    assert one.value("readmission_cloudwatch_up") == 0
    assert code in caplog.text
    client.failing = ""
    assert one.value("readmission_cloudwatch_up") == 1
    assert one.value("readmission_rows_read_total", service="ingest") == 5


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_partial_data_count_as_a_failed_read(client: FakeClient, status: str) -> None:
    client.status = status
    assert exporter(client).value("readmission_cloudwatch_up") == 0
