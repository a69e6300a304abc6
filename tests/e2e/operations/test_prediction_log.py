"""Forecasts that the deployed API answers get into the prediction log, each once, whatever is killed on the way."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from readmission.serving.schemas import EXAMPLE

from tests.chaos.system import System, wait_until
from tests.e2e.conftest import Application

REQUESTS = int(os.environ.get("PREDICTION_LOG_REQUESTS", "300"))
BATCH = 8
# One of the batches is too large for a message, and is claimed from S3.
LARGE = 300
PATIENT = 76543210
KILLED_REQUESTS = max(30, REQUESTS // 10)
QUEUE = "readmission-predictions"
SETTABLE = (
    *("MessageRetentionPeriod", "VisibilityTimeout", "RedrivePolicy", "SqsManagedSseEnabled", "KmsMasterKeyId"),
    *("DelaySeconds", "MaximumMessageSize", "ReceiveMessageWaitTimeSeconds", "Policy"),
)
"""The attributes that a queue is created with."""
_names = count(1)


@pytest.fixture(scope="module")
def breakable(application: Application) -> System:
    return System(application.settings)


@pytest.fixture(scope="module")
def sqs(application: Application) -> Any:
    return application.platform.client("sqs")


@pytest.fixture
def impatient(sqs: Any) -> Iterator[None]:
    """What is not recorded comes again after seconds, not minutes."""
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    name = "VisibilityTimeout"
    usual = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: "45"})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: usual})


def _ask(application: Application, name: str, size: int, *, refusable: bool = False) -> list[str]:
    """One request of so many encounters; the places that its forecasts have in the log.

    If it is `refusable`, it may be answered by 503: a process of the API that starts while MLflow is away has
    no model yet.
    """
    documents = [{**EXAMPLE, "patient_nbr": PATIENT, "encounter_id": 1 + one} for one in range(size)]
    path, body = ("/predict", documents[0]) if size == 1 else ("/predict/batch", {"encounters": documents})
    answer = application.call(path, body, **{"x-request-id": name})
    if refusable and answer.status == 503:
        return []
    assert answer.status == 200, answer.text
    return [f"{name} {position}" for position in range(size)]


def _ask_many(application: Application, prefix: str, requests: int) -> Counter[str]:
    """Single requests, and a batch for every tenth."""
    sizes = [BATCH if number % 10 == 0 else 1 for number in range(requests)]
    with ThreadPoolExecutor(4) as threads:
        places = threads.map(
            lambda one: _ask(application, f"{prefix}-{one[0]}", one[1], refusable=True), enumerate(sizes)
        )
        return Counter(place for some in places for place in some)


def _logged(application: Application, prefix: str) -> Counter[str]:
    if not application.platform.query("clean", "SELECT to_regclass('prediction')")[0][0]:
        return Counter()
    rows = application.platform.query(
        "clean", f"SELECT request_id, position FROM prediction WHERE request_id LIKE '{prefix}-%'"
    )
    return Counter(f"{request_id} {position}" for request_id, position in rows)


def _not_logged(application: Application, prefix: str) -> Counter[str]:
    """The number of forecasts by request, as the log of *predict* lists them."""
    said = application.platform.run("logs", "--function", "predict", "--since", "60", "--once", "--raw")
    lines = [json.loads(line) for line in said.splitlines() if "not logged" in line]
    return Counter({line["request_id"]: line["forecasts"] for line in lines if line["request_id"].startswith(prefix)})


def _known(application: Application, prefix: str) -> tuple[Counter[str], Counter[str]]:
    """The forecasts that are logged, each once, and those that are listed as not logged, by request."""
    listed = _not_logged(application, f"{prefix}-")
    logged = _logged(application, prefix)
    assert set(logged.values()) <= {1}
    by_request = _by_request(logged)
    # A message that was late may have been taken all the same.
    return by_request, Counter({name: number for name, number in listed.items() if name not in by_request})


def _by_request(places: Counter[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for place, number in places.items():
        found[place.partition(" ")[0]] += number
    return found


def _prefix() -> str:
    return f"log-{next(_names)}"


@pytest.mark.usefixtures("trained")
def test_a_forecast_is_in_the_log_seconds_later_with_its_inputs_and_without_the_number_of_the_patient(
    application: Application,
) -> None:
    prefix = _prefix()
    asked = Counter(_ask(application, f"{prefix}-1", 1))
    assert wait_until(lambda: _logged(application, prefix) == asked, 60)
    ((row,),) = application.platform.query(
        "clean", f"SELECT CAST(to_jsonb(prediction) AS text) FROM prediction WHERE request_id = '{prefix}-1'"
    )
    logged = json.loads(row)
    assert (logged["route"], logged["site"], logged["encounter_id"]) == ("/predict", "default", 1)
    assert len(logged["patient_key"]) == 64 and str(PATIENT) not in row
    assert logged["inputs"]["number_inpatient"] == EXAMPLE["number_inpatient"]
    assert logged["p_early"] + logged["p_late"] + logged["p_none"] == pytest.approx(1)


@pytest.mark.usefixtures("trained")
def test_a_batch_that_is_too_large_for_a_message_is_logged(application: Application) -> None:
    prefix = _prefix()
    asked = Counter(_ask(application, f"{prefix}-1", LARGE))
    assert wait_until(lambda: _logged(application, prefix) == asked, 90)


@pytest.mark.usefixtures("trained", "impatient")
def test_every_forecast_is_logged_once_although_record_and_postgres_are_killed(
    application: Application, breakable: System
) -> None:
    prefix = _prefix()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(_ask_many, application, prefix, REQUESTS)
        assert wait_until(lambda: bool(_logged(application, prefix)), 120), "nothing is recorded"
        assert breakable.kill_function("record") >= 1
        time.sleep(2)
        breakable.kill_server("postgres")
        asked = asking.result()
    # supervisord starts Postgres again.
    assert wait_until(breakable.is_healthy, 120)
    assert wait_until(lambda: sum(_known(application, prefix), Counter()) == _by_request(asked), 300)


@dataclass(frozen=True)
class PredictionQueue:
    """The queue between *predict* and *record*."""

    application: Application

    @property
    def _sqs(self) -> Any:
        return self.application.platform.client("sqs")

    @property
    def _url(self) -> str:
        url: str = self._sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        return url

    @contextmanager
    def unread(self) -> Iterator[None]:
        """*record* takes no message."""
        functions = self.application.platform.client("lambda")
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        (mapping,) = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]

        def read(enabled: bool, state: str) -> None:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)
            known = lambda: functions.get_event_source_mapping(UUID=mapping["UUID"])["State"]  # noqa: E731
            assert wait_until(lambda: known() == state, 60), known()

        read(enabled=False, state="Disabled")
        yield
        read(enabled=True, state="Enabled")

    def held(self) -> set[str]:
        """The requests whose forecasts it holds."""
        found: set[str] = set()
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            found |= {json.loads(message["Body"])["request_id"] for message in messages}
        return found

    @contextmanager
    def killed(self) -> Iterator[None]:
        """What it holds is lost; afterwards there is another one."""
        url = self._url
        known = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self._sqs.delete_queue(QueueUrl=url)
        yield
        self._sqs.create_queue(QueueName=QUEUE, Attributes={name: known[name] for name in SETTABLE if name in known})


@pytest.mark.usefixtures("trained")
def test_every_forecast_that_a_killed_queue_takes_with_it_is_known_and_the_others_are_logged_once(
    application: Application,
) -> None:
    prefix, queue = _prefix(), PredictionQueue(application)
    before = _by_request(_ask_many(application, f"{prefix}-before", KILLED_REQUESTS))
    assert wait_until(lambda: sum(_known(application, prefix), Counter()) == before, 120)
    with queue.unread():
        unread = _by_request(_ask_many(application, f"{prefix}-unread", KILLED_REQUESTS))
        held = queue.held()
        with queue.killed():
            away = _by_request(_ask_many(application, f"{prefix}-away", KILLED_REQUESTS))
    # The instances of *predict* try the queue again after a pause.
    again = (_ask(application, f"{prefix}-again-{number}", 1)[0] for number in count(1))
    assert wait_until(lambda: bool(_logged(application, f"{prefix}-again")) or not next(again), 120)
    asked = before + unread + away
    logged, missed = (
        Counter({name: n for name, n in one.items() if name in asked}) for one in _known(application, prefix)
    )
    lost = asked - logged - missed
    assert lost and set(lost) == held - set(missed)
    assert set(away) <= set(missed)
    assert logged + missed + lost == asked


@pytest.mark.usefixtures("trained")
def test_what_was_recorded_is_counted(application: Application) -> None:
    prefix = _prefix()
    asked = Counter(_ask(application, f"{prefix}-1", BATCH))
    assert wait_until(lambda: _logged(application, prefix) == asked, 60)

    def counted() -> bool:
        found = application.platform.client("cloudwatch").get_metric_statistics(
            Namespace="Readmission",
            MetricName="PredictionsRecorded",
            Dimensions=[{"Name": "service", "Value": "record"}],
            StartTime=time.time() - 7200,
            EndTime=time.time() + 60,
            Period=86_400,
            Statistics=["Sum"],
        )
        return sum(point["Sum"] for point in found["Datapoints"]) >= BATCH

    assert wait_until(counted, 60)


@pytest.mark.usefixtures("trained")
def test_old_forecasts_are_deleted_when_the_schedule_says_so(application: Application) -> None:
    prefix = _prefix()
    asked = Counter(_ask(application, f"{prefix}-1", BATCH))
    assert wait_until(lambda: _logged(application, prefix) == asked, 60)
    application.platform.query(
        "clean", f"UPDATE prediction SET answered_at = now() - interval '366 days' WHERE request_id = '{prefix}-1'"
    )
    rules = application.platform.client("events")
    (name,) = [
        one["Name"] for one in rules.list_rules()["Rules"] if one.get("ScheduleExpression") == "cron(15 3 * * ? *)"
    ]
    (target,) = rules.list_targets_by_rule(Rule=name)["Targets"]
    answer = application.platform.client("lambda").invoke(FunctionName=target["Arn"], Payload=target["Input"])
    assert json.load(answer["Payload"]) == {"deleted": BATCH}
    assert not _logged(application, prefix)


def test_redrive_says_that_there_are_no_dead_letters(application: Application) -> None:
    assert "There are no dead letters." in application.platform.run("redrive")
