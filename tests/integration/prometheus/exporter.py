"""An exporter of every application metric and AWS's metrics, whose counters rise with each scrape, or of any text."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from readmission.telemetry.metrics import METRICS, Metric, prometheus_name

TOKEN = "a-token-of-the-test"
FOUND = {"model_version": ("3",), "function_name": ("readmission-predict",)}
AWS = {
    "aws_lambda": ("function_name", ("invocations", "errors", "throttles"), ("duration",)),
    "aws_states": (
        "state_machine",
        tuple(f"executions_{end}" for end in ("started", "succeeded", "failed", "timed_out", "aborted")),
        ("execution_time",),
    ),
    "aws_apigateway": ("api", ("requests", "4xx_errors", "5xx_errors"), ("latency", "integration_latency")),
}


def exposition(count: int) -> str:
    lines = [line for metric in METRICS for line in _series(metric, count)]
    for prefix, (label, counters, summaries) in AWS.items():
        labels = f'{{{label}="readmission-predict"}}'
        lines += [f"{prefix}_{name}_total{labels} {count}" for name in counters]
        for name in summaries:
            lines += [f"{prefix}_{name}_seconds_{part}{labels} {count}" for part in ("sum", "count")]
    return "\n".join([*lines, "readmission_cloudwatch_up 1", ""])


def _series(metric: Metric, count: int) -> Iterator[str]:
    name = prometheus_name(metric)
    dimensions = {key: values or FOUND[key] for key, values in metric.dimensions.items()}
    for values in itertools.product(metric.services, *dimensions.values()):
        labels = ", ".join(f'{key}="{value}"' for key, value in zip(("service", *dimensions), values, strict=True))
        if metric.kind == "counter":
            yield f"{name}_total{{{labels}}} {count}"
        elif metric.kind == "gauge":
            yield f"{name}{{{labels}}} {time.time() - 3600 if metric.unit == 'Seconds' else 0.7}"
        else:
            yield f"{name}_sum{{{labels}}} {count * 0.01}"
            yield f"{name}_count{{{labels}}} {count}"
            for bound in (*metric.buckets, "+Inf") if metric.buckets else ():
                yield f'{name}_bucket{{{labels}, le="{bound}"}} {count}'


def rising() -> Callable[[], str]:
    counts = itertools.count(0, 10)
    return lambda: exposition(next(counts))


@contextmanager
def serving(text: Callable[[], str], port: int = 0, path: str = "/v1/metrics", token: str = TOKEN) -> Iterator[int]:
    """Yields the port of an exporter of this text, by default a free one. It answers 401 without the token, if any."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = not token or self.headers["Authorization"] == f"Bearer {token}"
            allowed = known and self.path == path
            body = text().encode() if allowed else b""
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Logs nothing, because there is a scrape every second."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
