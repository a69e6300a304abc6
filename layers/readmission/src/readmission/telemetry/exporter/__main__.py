"""`python -m readmission.telemetry.exporter`: run the exporter as a process, or estimate its monthly cost.

If METRICS_TOKEN is set, clients must send it as a bearer token; otherwise everyone who reaches the port has access.
"""

import argparse
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

import boto3
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from readmission.settings import ExporterProcessSettings, ServerSettings
from readmission.telemetry import observability
from readmission.telemetry.exporter.auth import bears
from readmission.telemetry.exporter.catalog import Stack
from readmission.telemetry.exporter.cloudwatch import CONFIG, CloudWatch
from readmission.telemetry.exporter.collector import CloudWatchCollector, registry
from readmission.telemetry.exporter.cost import month

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PORT = 9105


class QuietHandler(WSGIRequestHandler):
    """Does not log requests."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def application(collector: CloudWatchCollector, token: str | None) -> "WSGIApplication":
    """The WSGI application, for clients that send the token."""
    metrics = cast("WSGIApplication", make_wsgi_app(registry(collector)))

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if token is None or bears(environ.get("HTTP_AUTHORIZATION"), token):
            return metrics(environ, start_response)
        status = HTTPStatus.UNAUTHORIZED
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("WWW-Authenticate", "Bearer")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [b"The bearer token in the Authorization header is missing or wrong\n"]

    return guarded


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises `ConfigurationError` for an invalid setting, `MetricsUnavailable` if CloudWatch cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m readmission.telemetry.exporter", description="Export CloudWatch metrics to Prometheus."
    )
    parser.add_argument(
        "--cost", type=float, metavar="SECONDS", help="estimate the monthly cost of a scrape every SECONDS, and exit"
    )
    parsed = parser.parse_args(arguments)
    settings = ExporterProcessSettings.from_environment()
    stack = Stack(settings.exporter.stack_name, settings.exporter.state_machine_arn)
    cloudwatch = CloudWatch(boto3.client("cloudwatch", config=CONFIG))
    if parsed.cost is not None:
        print(month(cloudwatch, stack, parsed.cost).text())
        return
    logger = observability.logger("exporter")
    collector = CloudWatchCollector(cloudwatch, stack, settings.exporter.cache_seconds, logger)
    server_settings = ServerSettings.from_environment(default_port=PORT)
    host, port, guarded = server_settings.host, server_settings.port, application(collector, settings.token)
    with make_server(host, port, guarded, ThreadingWSGIServer, handler_class=QuietHandler) as server:
        print(f"http://{host}:{port}/metrics", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
