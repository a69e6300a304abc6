"""Every figure in Prometheus equals what was sent, after a run of the pipeline and 500 mixed requests."""

import json
import os
import random
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from readmission.serving.schemas import EXAMPLE
from readmission.telemetry.metrics import SCORES

from infra.local import aws
from tests.e2e.conftest import Application, Trained
from tests.e2e.exposition import Sample, ours, sample, samples_of, samples_written, scrape
from tests.leash import die_with_parent
from tests.platforms import free_ports

_VALID = {"encounters": [EXAMPLE, EXAMPLE, {}]}
# What is sent: path, body, key (None: as it should be), and how it is answered.
_KINDS = {
    "forecast": ("/predict", EXAMPLE, "", 200),
    "invalid": ("/predict", {"age_numeric": 55}, "", 422),
    "no key": ("/predict", EXAMPLE, None, 403),
    "batch": ("/predict/batch", _VALID, "", 200),
    "healthy": ("/health", None, "", 200),
}
_REQUESTS = Counter({"forecast": 300, "invalid": 70, "no key": 60, "batch": 40, "healthy": 30})


def _until[T](found: Callable[[], T], is_right: Callable[[T], bool], seconds: float = 60) -> T:
    """What is found once it is right, or what it was at the end of the time: metrics come within seconds."""
    end = time.monotonic() + seconds
    while not is_right(value := found()) and time.monotonic() < end:
        time.sleep(0.5)
    return value


@pytest.fixture(scope="module")
def sent(application: Application, trained: Trained) -> tuple[dict[Sample, float], dict[Sample, float]]:
    """The samples before and after 500 requests in a random order that is always the same."""
    before = _until(lambda: scrape(application), lambda found: _is_whole(application, found))
    kinds = list(_REQUESTS.elements())
    random.Random(4).shuffle(kinds)
    for kind in kinds:
        path, body, key, status = _KINDS[kind]
        assert application.call(path, body, key=key).status == status
    after = _until(lambda: scrape(application), lambda found: _is_whole(application, found))
    return before, after


def _is_whole(application: Application, found: dict[Sample, float]) -> bool:
    return not _differences(_written(application), found)


def _written(application: Application) -> dict[Sample, float]:
    return ours(samples_written(application.platform.client("logs"), "readmission"))


def _differences(expected: dict[Sample, float], found: dict[Sample, float]) -> dict[Sample, tuple[float, float | None]]:
    return {
        key: (value, found.get(key))
        for key, value in expected.items()
        if key not in found or found[key] != pytest.approx(value, rel=1e-9)
    }


def test_the_requests_are_told_exactly(sent: tuple[dict[Sample, float], dict[Sample, float]]) -> None:
    before, after = sent
    expected = {
        sample("readmission_requests_total", service="predict", route="/predict", status="200"): 300,
        sample("readmission_requests_total", service="predict", route="/predict", status="422"): 70,
        sample("readmission_requests_total", service="predict", route="/predict/batch", status="200"): 40,
        sample("readmission_requests_total", service="predict", route="/health", status="200"): 30,
        sample("readmission_requests_total", service="predict", route="/predict", status="503"): 0,
        sample("readmission_request_duration_seconds_count", service="predict", route="/predict"): 370,
        sample("readmission_scorer_duration_seconds_count", service="predict"): 300,
        sample("readmission_validation_errors_total", service="predict", route="/predict"): 70,
        sample("readmission_validation_errors_total", service="predict", route="/predict/batch"): 40,
        sample("aws_apigateway_4xx_errors_total", api="readmission-api", stage="v1"): 130,
    }
    assert {key: after[key] - before[key] for key in expected} == expected
    predictions = [
        value - before.get(key, 0) for key, value in after.items() if key[0] == "readmission_predictions_total"
    ]
    assert sum(predictions) == 300 + 2 * 40


def test_a_request_without_a_model_was_told(sent: tuple[dict[Sample, float], dict[Sample, float]]) -> None:
    _, after = sent
    assert after[sample("readmission_requests_total", service="predict", route="/predict", status="503")] >= 1


def test_all_that_functions_wrote_is_told_and_nothing_else(
    application: Application, sent: tuple[dict[Sample, float], dict[Sample, float]]
) -> None:
    written = _written(application)
    after = ours(_until(lambda: scrape(application), lambda found: _is_whole(application, found)))
    assert _differences(written, after) == {}
    gauges = {"readmission_model_test_score", "readmission_model_promoted_timestamp_seconds"}
    about_itself = {"readmission_cloudwatch_up"}
    rest = {key: value for key, value in after.items() if key not in written and key[0] not in gauges | about_itself}
    # What is not 0 was there before: other tests put it there.
    assert rest == {key: sent[0].get(key, 0) for key in rest}


def test_the_pipelines_run_is_told(
    application: Application, trained: Trained, sent: tuple[dict[Sample, float], dict[Sample, float]]
) -> None:
    _, after = sent
    version = trained.output["promotion"]["production_version"]
    assert after[sample("readmission_rows_planned_total", service="plan")] >= trained.rows
    assert after[sample("readmission_step_runs_total", service="train", outcome="succeeded")] >= 3
    assert after[sample("readmission_cloudwatch_up")] == 1
    scores = {
        dict(key[1])["metric"]: value
        for key, value in after.items()
        if key[0] == "readmission_model_test_score" and ("model_version", version) in key[1]
    }
    run = MlflowClient().get_run(MlflowClient().get_model_version("readmission", version).run_id).data.metrics
    assert scores == pytest.approx({name: run[f"test_{name}"] for name in SCORES if f"test_{name}" in run})
    assert "auc_early" in scores


@contextmanager
def _process(application: Application) -> Iterator[str]:
    """A new exporter, as a process; its address."""
    (port,) = free_ports(1)
    environment = os.environ | aws.environment(application.settings) | {"PORT": str(port), "STACK_NAME": "readmission"}
    environment["STATE_MACHINE_ARN"] = application.stack.pipeline_arn
    command = [sys.executable, "-m", "readmission.telemetry.exporter"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent()
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _ask(address: str) -> dict[Sample, float]:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return samples_of(answer.read().decode())


def test_another_exporter_says_the_same(
    application: Application, sent: tuple[dict[Sample, float], dict[Sample, float]]
) -> None:
    with _process(application) as address:
        assert _differences(_written(application), ours(_ask(address))) == {}


def _prometheus(application: Application) -> dict[Sample, float]:
    query = urllib.parse.urlencode({"query": '{job="readmission",__name__=~"readmission_.+"}'})
    with urllib.request.urlopen(f"{application.settings.prometheus_url}/api/v1/query?{query}", timeout=30) as answer:
        found = json.load(answer)["data"]["result"]
    of_the_scrape = {"job", "instance"}
    return {
        sample(
            one["metric"]["__name__"],
            **{name: value for name, value in one["metric"].items() if name not in {"__name__", *of_the_scrape}},
        ): float(one["value"][1])
        for one in found
    }


def test_prometheus_holds_the_same(
    application: Application, sent: tuple[dict[Sample, float], dict[Sample, float]], prometheus_program: str
) -> None:
    expected = ours(sent[1])
    assert (
        _differences(
            expected, _until(lambda: _prometheus(application), lambda found: not _differences(expected, found))
        )
        == {}
    )
