"""The exporter as a process, and its cost estimate."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from prometheus_client.exposition import ThreadingWSGIServer
from readmission.errors import ConfigurationError
from readmission.telemetry.exporter import __main__ as exporting
from readmission.telemetry.exporter.cloudwatch import CloudWatch
from readmission.telemetry.exporter.cost import month

from tests.unit.readmission.telemetry.exporter.fakes import STACK, FakeClient, exporter


@contextmanager
def serving(client: FakeClient, token: str | None) -> Iterator[str]:
    application = exporting.application(exporter(client).collector, token)
    with make_server("127.0.0.1", 0, application, ThreadingWSGIServer, handler_class=exporting.QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


def get(url: str, **headers: str) -> tuple[int, Any, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def test_the_accept_header_selects_the_format() -> None:
    with serving(FakeClient(), None) as url:
        status, headers, text = get(url)
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "readmission_cloudwatch_up 1.0" in text
        _, headers, text = get(url, Accept="application/openmetrics-text; version=1.0.0")
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")


def test_with_a_token_it_refuses_other_clients() -> None:
    client = FakeClient()
    with serving(client, "token") as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            status, answered, _ = get(url, **headers)
            assert (status, answered["WWW-Authenticate"]) == (401, "Bearer")
        assert client.calls == []
        assert get(url, Authorization="Bearer token")[0] == 200


def test_without_its_settings_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STACK_NAME", raising=False)
    with pytest.raises(ConfigurationError, match="STACK_NAME"):
        exporting.main([])


def test_the_monthly_price_is_that_of_the_metrics_requested() -> None:
    client = FakeClient()
    client.own("RowsRead", 1, service="ingest")
    client.own("StepDuration", 1, service="ingest")
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="readmission-ingest")
    client.put("AWS/Lambda", "Invocations", 1, FunctionName="elsewhere")
    price = month(CloudWatch(client), STACK, 60)
    one = exporter(client)
    one.samples()
    whole = {str(query["MetricStat"]["Metric"]) for asked in client.asked() for query in asked["MetricDataQueries"]}
    client.calls.clear()
    one.samples()
    recent = {str(query["MetricStat"]["Metric"]) for asked in client.asked() for query in asked["MetricDataQueries"]}
    lists = [name for name, _ in client.calls if name == "list_metrics"]
    assert (price.recent, price.own, price.whole, price.lists) == (len(recent), 2, len(whole), len(lists))
    assert price.reading == pytest.approx((43_200 * 3 + 30 * len(whole)) / 1000 * 0.01)
    assert price.listing == pytest.approx(43_200 * 4 / 1000 * 0.01)
    assert price.keeping == pytest.approx(0.6)
    assert f"{price.reading:.2f} USD" in price.text()
