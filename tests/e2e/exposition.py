"""What functions wrote to their logs, and what Prometheus's text says, as the same kind of thing: samples."""

import json
from collections import defaultdict
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from readmission.telemetry import metrics

from tests.e2e.conftest import Application

type Sample = tuple[str, frozenset[tuple[str, str]]]


def sample(name: str, **labels: str) -> Sample:
    """A name with its labels."""
    return name, frozenset(labels.items())


def samples_of(text: str) -> dict[Sample, float]:
    """Of an exposition; fails when a sample is in it twice."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            key = sample(one.name, **one.labels)
            assert key not in found, key
            assert one.timestamp is None
            found[key] = one.value
    return found


def scrape(application: Application) -> dict[Sample, float]:
    """What the exporter behind the gateway says now."""
    token = f"Bearer {application.stack.metrics_token}"
    answer = application.call("/metrics", key=None, Authorization=token)
    assert answer.status == 200, answer.text
    return samples_of(answer.text)


def ours(samples: dict[Sample, float]) -> dict[Sample, float]:
    """Of the project's own metrics, without the exporter's own requests, which go on while one looks."""
    return {
        key: value
        for key, value in samples.items()
        if key[0].startswith("readmission_")
        and ("service", "metrics") not in key[1]
        and key[0] != "readmission_exporter_collect_seconds"
    }


def samples_written(logs: Any, stack: str) -> dict[Sample, float]:
    """The sums of all that the stack's functions ever wrote in Embedded Metric Format, read out of their logs.

    Without gauges, whose sum means nothing.
    """
    found: dict[Sample, float] = defaultdict(float)
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/{stack}/"):
        for group in page["logGroups"]:
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                for event in events["events"]:
                    _add(found, event["message"])
    return found


def _add(found: dict[Sample, float], message: str) -> None:
    if not message.startswith("{") or '"_aws"' not in message:
        return
    entry = json.loads(message)
    (directive,) = entry["_aws"]["CloudWatchMetrics"]
    (names,) = directive["Dimensions"]
    for written in directive["Metrics"]:
        _add_metric(found, written["Name"], entry[written["Name"]], {name: entry[name] for name in names})


def _add_metric(found: dict[Sample, float], name: str, values: list[float], labels: dict[str, str]) -> None:
    metric = metrics.BY_NAME[name.removesuffix("Bucket")]
    base = metrics.prometheus_name(metric)
    if metric.kind == "counter":
        found[sample(f"{base}_total", **labels)] += sum(values)
    elif name != metric.name:
        # Prometheus's buckets count all below, too.
        own = labels.pop("le")
        for bound in (*metric.buckets, float("inf")):
            if bound >= float(own):
                le = "+Inf" if bound == float("inf") else str(float(bound))
                found[sample(f"{base}_bucket", le=le, **labels)] += sum(values)
        found[sample(f"{base}_count", **labels)] += sum(values)
    elif metric.kind != "gauge":
        found[sample(f"{base}_sum", **labels)] += sum(values)
        if metric.kind == "summary":
            found[sample(f"{base}_count", **labels)] += len(values)
