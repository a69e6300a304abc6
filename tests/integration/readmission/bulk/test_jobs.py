"""A scoring job on real servers: S3 and Postgres. Histories are those of single requests, and the log has each once."""

import asyncio
import csv
import io
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from readmission.bulk import score
from readmission.bulk.job_files import JobFiles
from readmission.bulk.plan import plan
from readmission.bulk.score import Databases
from readmission.domain import jobs
from readmission.domain.contract import NAMES
from readmission.domain.features import INPUTS, NUMBERS
from readmission.errors import InvalidRequest
from readmission.identity.patient_key import patient_key
from readmission.scoring.scorer import Scorer
from readmission.serving.earlier_stays import EarlierStaysInPostgres
from readmission.serving.encounters import Asked, encounter_of
from readmission.serving.forecasts import forecast
from readmission.serving.model_cache import Served
from readmission.serving.patient_history import PatientHistories
from readmission.settings import DatabaseSettings, SourceSettings
from readmission.storage.database import connect

from infra.local.servers import postgres
from tests.integration.readmission.conftest import BUCKETS, Stores, changed, delivery_of
from tests.platforms import Platform
from tests.unit.readmission.bulk.fakes import MODEL
from tests.unit.readmission.serving.fakes import FakeRegistry

KEY = b"k" * 32
STARTED = "2026-11-27T01:00:00+00:00"
_numbers = count(1)


class Jobs:
    """Runs jobs as the state machine does, by the logins of the function."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.registry = FakeRegistry()
        self.registry.promote("7", MODEL)
        self.registry._version = replace(self.registry.production(), data_kind="real")
        self.writer = DatabaseSettings.from_environment()
        self.reader = replace(self.writer, secret="readmission/database/reader")
        self.databases = Databases(
            histories=lambda: connect("clean", self.reader),
            prediction_log=lambda: connect("clean", self.writer),
            key_of=lambda site, number: patient_key(KEY, site, number),
        )

    def files(self) -> JobFiles:
        return JobFiles(self.stores.s3, BUCKETS[0], f"job-{next(_numbers)}")

    def plan(self, files: JobFiles, **request: Any) -> jobs.JobPlan:
        event = jobs.PlanEvent(task="plan", execution=files.job, started_at=STARTED, input=request)
        return plan(event, files, self.registry, connect("clean", self.reader), SourceSettings())  # type: ignore[arg-type]

    def score(self, chunk: int, files: JobFiles) -> jobs.ChunkResult:
        return score.score(chunk, files, self.registry, self.databases)  # type: ignore[arg-type]

    def run(self, files: JobFiles, **request: Any) -> jobs.JobResult:
        for chunk in self.plan(files, **request)["chunks"]:
            self.score(chunk, files)
        return score.finish(files)

    def put(self, files: JobFiles, rows: Sequence[Sequence[str]], header: Sequence[str] = NAMES) -> str:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([header, *rows])
        key = f"{jobs.INCOMING}{files.job}.csv"
        self.stores.s3.put_object(Bucket=BUCKETS[0], Key=key, Body=text.getvalue().encode())
        return key

    def single(self, documents: Sequence[dict[str, str]]) -> list[tuple[Asked, dict[str, Any]]]:
        """What the API answers to each."""
        with closing(EarlierStaysInPostgres(self.reader, 20)) as source:
            histories = PatientHistories(source, 20, logging.getLogger("test"))
            asked = [encounter_of(one) for one in documents]
            asyncio.run(histories.fill_in(asked, "real"))
        served = Served(self.registry.production(), Scorer(MODEL))
        return [(one, forecast(served, one)) for one in asked]


@pytest.fixture
def running(stores: Stores, system: Platform) -> Iterator[Jobs]:
    # Other tests drop the schemas, and with them the privileges that `make up` has granted.
    postgres.create_databases(system.settings)
    stores.clean.run("TRUNCATE prediction")
    yield Jobs(stores)


@pytest.fixture
def stays(rows: list[list[str]]) -> list[list[str]]:
    """Stays of ten patients, none of which ends in death or a hospice."""
    return [
        changed(row, encounter_id=str(100 + place), patient_nbr=str(1 + place % 10), discharge_disposition_id="1")
        for place, row in enumerate(rows)
    ]


def _lines(files: JobFiles, name: str = jobs.CSV) -> list[dict[str, str]]:
    content = files.read(name)
    assert content is not None
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _logged(stores: Stores) -> list[Any]:
    found: list[Any] = stores.clean.run(
        "SELECT request_id, position, encounter_id, patient_key, p_early, history, route, inputs, answered_at, log_id,"
        " recorded_at FROM prediction ORDER BY position"
    )
    return found


def test_forecasts_histories_and_the_log_are_those_of_single_requests(running: Jobs, stays: list[list[str]]) -> None:
    running.stores.load(stays[:30])
    files = running.files()
    source = running.put(files, [*stays[10:], changed(stays[0], age="?")])
    result = running.run(files, source=source, chunk_rows=7)
    assert (result["rows"], result["answered"], result["refused"]) == (31, 30, 1)
    documents = [dict(zip(NAMES, row, strict=True)) for row in stays[10:]]
    found = {"found": 0, "not found": 0}
    logged = _logged(running.stores)
    for line, log, (asked, single) in zip(_lines(files), logged, running.single(documents), strict=True):
        assert float(line["early_risk"]) == pytest.approx(single["early_risk"]["probability"], abs=1e-12)
        assert line["band"] == single["early_risk"]["band"]
        assert line["history"] == single["history"]["status"]
        assert int(line["earlier_stays"]) == single["history"]["earlier_stays"]
        found[line["history"]] += 1
        assert log[:5] == [
            files.job,
            int(line["row"]) - 1,
            int(line["encounter_id"]),
            patient_key(KEY, "default", asked.patient_nbr or 0),
            float(line["early_risk"]),
        ]
        assert log[5:7] == [line["history"], "/jobs"]
        assert set(log[7]) == set(INPUTS) and log[7]["prior_encounters"] == asked.fields["prior_encounters"]
    assert found["found"] and not found["not found"]
    assert _lines(files, jobs.REFUSED)[0]["row"] == "31"


def test_a_chunk_that_is_repeated_before_it_was_done_logs_nothing_twice(running: Jobs, stays: list[list[str]]) -> None:
    files = running.files()
    running.plan(files, source=running.put(files, stays), chunk_rows=20)
    running.score(1, files)
    first = files.read("work/results-0001.csv")
    logged = _logged(running.stores)
    # It broke off just before the counts, and meanwhile the patients have come back.
    running.stores.s3.delete_object(Bucket=BUCKETS[0], Key=files.key("counts/0001.json"))
    running.stores.load(stays)
    with ThreadPoolExecutor(2) as beside:
        list(beside.map(lambda _: running.score(1, files), range(2)))
    running.score(2, files)
    assert files.read("work/results-0001.csv") == first
    assert _logged(running.stores)[:20] == logged and len(_logged(running.stores)) == len(stays)
    assert score.finish(files)["answered"] == len(stays)


def test_a_delivery_is_scored_by_the_inputs_that_models_learn_from(running: Jobs, stays: list[list[str]]) -> None:
    died = changed(stays[3], discharge_disposition_id="11")
    codes = ["E11.9", "I50.9", "E11"]  # the last one has no single equivalent, and is unknown
    icd10 = changed(stays[4], diag_1=codes[0], diag_2=codes[1], diag_3=codes[2])
    delivered = [*stays[:3], died, icd10, *stays[5:]]
    planned = running.stores.deliver(delivered)
    running.stores.ingest(planned)
    running.stores.tidy(planned)
    files = running.files()
    result = running.run(files, delivery=delivery_of(planned))
    assert (result["answered"], result["refused"]) == (len(stays) - 1, 1)
    (refused,) = _lines(files, jobs.REFUSED)
    assert (refused["row"], refused["field"]) == ("4", "discharge_disposition_id")
    learned = running.stores.clean.run(f"SELECT encounter_id, {', '.join(INPUTS)} FROM encounters")
    seen = {row[0]: dict(zip(INPUTS, row[1:], strict=True)) for row in learned}
    for _, _, encounter, _, _, _, _, inputs, *_ in _logged(running.stores):
        expected = seen[encounter]
        for name in INPUTS:
            value = expected[name] if name in NUMBERS else str(expected[name])
            assert (encounter, name, inputs[name]) == (encounter, name, value)


@pytest.mark.parametrize(
    ("delivery", "said"), [("unknown", "there is no delivery of this name"), (None, "the delivery is pending")]
)
def test_only_an_accepted_delivery_is_scored(
    running: Jobs, stays: list[list[str]], delivery: str | None, said: str
) -> None:
    pending = delivery_of(running.stores.deliver(stays))
    with pytest.raises(InvalidRequest, match=said):
        running.plan(running.files(), delivery=delivery or pending)


def test_of_two_plans_beside_each_other_one_decides(running: Jobs, stays: list[list[str]]) -> None:
    files = running.files()
    source = running.put(files, stays)
    with ThreadPoolExecutor(4) as beside:
        made = list(beside.map(lambda _: running.plan(files, source=source, chunk_rows=9), range(4)))
    assert made == [made[0]] * 4
    assert json.loads(files.read(jobs.PLAN) or b"")["chunks"] == len(made[0]["chunks"]) == 5
    assert files.once("plan.json", lambda: {"another": 1}) != {"another": 1}
