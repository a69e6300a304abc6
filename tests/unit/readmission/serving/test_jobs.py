"""`POST /jobs` and `GET /jobs/{id}`: an order is one job, whose progress and end can be followed."""

import json
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from readmission.domain import jobs
from readmission.errors import JobsUnavailable
from readmission.serving.jobs import respond
from readmission.storage.job_files import JobFiles

from tests.unit.readmission.builders import BUCKET
from tests.unit.readmission.bulk.fakes import Bucket, Job, csv_file

SOURCE = "scoring/incoming/night.csv"
ORDER = {"id": "night", "source": SOURCE}
STARTED = "2026-11-27T01:00:00.000+00:00"


@dataclass
class Execution:
    input: Any
    status: str = "RUNNING"
    started_at: str = STARTED
    ended_at: str | None = None
    output: Any = None
    error: str | None = None
    cause: str | None = None


class Machine:
    """Executions by name; `problem` is raised while it is set."""

    def __init__(self) -> None:
        self.executions: dict[str, Execution] = {}
        self.problem: JobsUnavailable | None = None

    def start(self, job: str, document: Any) -> bool:
        self._raise()
        if job in self.executions:
            return False
        self.executions[job] = Execution(json.loads(json.dumps(document)))
        return True

    def describe(self, job: str) -> Execution | None:
        self._raise()
        return self.executions.get(job)

    def _raise(self) -> None:
        if self.problem:
            raise self.problem


class Api:
    def __init__(self) -> None:
        self.machine = Machine()
        self.bucket = Bucket()

    def call(self, method: str, path: str, body: Any = None, *, identified: bool = False, **context: Any) -> Any:
        event = {
            "path": path,
            "httpMethod": method,
            "headers": {"Content-Type": "application/json"},
            "body": body if isinstance(body, str) else json.dumps(body),
            "requestContext": {"identity": {"apiKeyId": "key1"}} | context,
        }
        answer = respond(
            event,
            self.machine,
            lambda job: JobFiles(self.bucket, BUCKET, job),  # type: ignore[arg-type]
            logging.getLogger("test"),
            identified=identified,
        )
        return answer["statusCode"], json.loads(answer["body"] or "null")


@pytest.fixture
def api() -> Api:
    return Api()


def test_an_order_starts_a_job_of_its_id_and_says_who_asked(api: Api) -> None:
    status, answer = api.call("POST", "/jobs", ORDER | {"explain": "high"})
    assert (status, answer) == (
        202,
        {
            "id": "night",
            "status": "running",
            "started_at": STARTED,
            "ended_at": None,
            "explain": "high",
            "source": SOURCE,
        },
    )
    given = api.machine.executions["night"].input
    assert given == {"source": SOURCE, "explain": "high", "chunk_rows": 5000, "by": "api_key:key1"}
    assert jobs.parse_request(given, BUCKET).by == "api_key:key1"


def test_the_same_order_is_one_job_whoever_repeats_it(api: Api) -> None:
    api.call("POST", "/jobs", ORDER)
    address = ORDER | {"source": f"s3://{BUCKET}/{SOURCE}"}
    assert api.call("POST", "/jobs", address, identity={"apiKeyId": "another"})[0] == 200
    assert len(api.machine.executions) == 1


def test_another_order_with_a_used_id_is_refused(api: Api) -> None:
    api.call("POST", "/jobs", ORDER)
    status, answer = api.call("POST", "/jobs", {"id": "night", "delivery": "run-1"})
    assert status == 409 and [one["code"] for one in answer["errors"]] == ["job_id_used"]


def test_an_order_without_an_id_gets_a_new_one_each_time(api: Api) -> None:
    ids = {api.call("POST", "/jobs", {"delivery": "run-1"})[1]["id"] for _ in range(2)}
    assert len(ids) == 2 and all(map(jobs.is_id, ids))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([], "must be a JSON object"),
        ({}, "'source' and 'delivery'"),
        ({"source": SOURCE, "delivery": "run-1"}, "'source' and 'delivery'"),
        ({"source": "pipeline/batches/1.csv"}, "below scoring/incoming/, scoring/uploads/, incoming/"),
        ({"source": "scoring/jobs/other/results.csv"}, "below scoring/incoming/, scoring/uploads/, incoming/"),
        ({"source": "scoring/incoming/"}, "must be the key of a file"),
        ({"source": "s3://another/scoring/incoming/night.csv"}, "must be in the data bucket, s3://data/"),
        ({"source": 3}, "'source' must be the key"),
        (ORDER | {"explain": "some"}, "'explain' must be one of none, high, all"),
        (ORDER | {"chunk_rows": 0}, "'chunk_rows' must be a whole number from 1 to 20000"),
        (ORDER | {"chunk_rows": True}, "'chunk_rows' must be"),
        (ORDER | {"by": "me"}, "unknown fields"),
        (ORDER | {"id": "a/b"}, "id of the job is invalid"),
        (ORDER | {"id": ""}, "id of the job is invalid"),
        ({"delivery": ""}, "'delivery' must be the name of a delivery"),
    ],
)
def test_an_invalid_order_is_refused_and_starts_nothing(api: Api, order: Any, said: str) -> None:
    status, answer = api.call("POST", "/jobs", order)
    assert status == 422 and said.lower() in (answer["detail"] + str(answer.get("errors"))).lower()
    assert api.machine.executions == {}


def test_progress_is_the_chunks_that_are_done(api: Api) -> None:
    api.call("POST", "/jobs", ORDER | {"id": "job"})
    job = Job(csv_file({"age_numeric": 500} | dict.fromkeys(_FEATURES, 1)), bucket=api.bucket)
    job.plan()
    assert (
        api.call("GET", "/jobs/job")[1] | {"rows": 1, "chunks": 1, "chunks_done": 0, "model_version": "1"}
        == (api.call("GET", "/jobs/job")[1])
    )
    job.score(1)
    assert api.call("GET", "/jobs/job")[1]["chunks_done"] == 1


_FEATURES = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
    "max_glu_serum_encoded",
    "a1cresult_encoded",
    "change_encoded",
    "diabetesmed_encoded",
    "num_diabetes_meds",
)


def test_a_job_that_has_succeeded_says_where_the_results_are(api: Api) -> None:
    result = {"job": "night", "rows": 2, "results": "scoring/jobs/night/results.csv"}
    api.machine.executions["night"] = Execution(ORDER, "SUCCEEDED", ended_at=STARTED, output=result)
    _, answer = api.call("GET", "/jobs/night")
    assert (answer["status"], answer["result"], answer["ended_at"]) == ("succeeded", result, STARTED)


def test_a_job_with_nothing_to_score_says_why(api: Api) -> None:
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    api.machine.executions["a"] = Execution(event, "SUCCEEDED", output={"rows": 0, "skipped": "there is no file"})
    _, answer = api.call("GET", "/jobs/a")
    assert answer["skipped"] == "there is no file" and "result" not in answer


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (json.dumps({"errorMessage": "x is not a column", "stackTrace": ["secret"]}), "x is not a column"),
        ("it did not end within its time limit", "it did not end within its time limit"),
        ("3", "3"),
        (None, ""),
    ],
)
def test_a_job_that_has_failed_says_why(api: Api, cause: str | None, message: str) -> None:
    api.machine.executions["night"] = Execution(ORDER, "FAILED", error="ColumnsMismatch", cause=cause)
    _, answer = api.call("GET", "/jobs/night")
    assert (answer["status"], answer["error"]) == ("failed", {"code": "ColumnsMismatch", "message": message})


@pytest.mark.parametrize(
    ("status", "told"), [("TIMED_OUT", "failed"), ("ABORTED", "stopped"), ("PENDING_REDRIVE", "failed")]
)
def test_a_job_that_was_ended_says_so(api: Api, status: str, told: str) -> None:
    api.machine.executions["night"] = Execution(ORDER, status)
    assert api.call("GET", "/jobs/night")[1]["status"] == told


def test_a_job_that_eventbridge_has_started_is_followed_by_the_name_that_it_gave(api: Api) -> None:
    name = "8d1b4c52-6a0b-4a6f-9a35-3b1f6d3a1c11_5f0e7a52-6a0b-4a6f-9a35-3b1f6d3a1c22"
    api.machine.executions[name] = Execution({"source": "aws.events"})
    assert api.call("GET", f"/jobs/{name}")[1]["status"] == "running"


@pytest.mark.parametrize("path", ["/jobs/unknown", "/jobs/a.b", "/jobs/a/b", f"/jobs/{'a' * 81}"])
def test_an_unknown_job_is_not_found(api: Api, path: str) -> None:
    assert api.call("GET", path)[0] == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs"), ("POST", "/jobs/night"), ("DELETE", "/jobs/night")])
def test_other_methods_are_refused(api: Api, method: str, path: str) -> None:
    assert api.call(method, path, ORDER)[0] == 405


def test_jobs_that_cannot_be_reached_are_503(api: Api) -> None:
    api.machine.problem = JobsUnavailable("Step Functions: gone")
    assert api.call("POST", "/jobs", ORDER)[0] == api.call("GET", "/jobs/night")[0] == 503


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    assert api.call("POST", "/jobs", " " * 20_000)[0] == 413


def test_with_an_issuer_only_those_with_the_scope_start_jobs(api: Api) -> None:
    assert api.call("POST", "/jobs", ORDER, identified=True)[0] == 401
    nurse = {"kind": "token", "subject": "nurse", "name": "N", "scopes": "outcomes"}
    assert api.call("POST", "/jobs", ORDER, identified=True, authorizer=nurse)[0] == 403
    data_team = nurse | {"scopes": "predict"}
    assert api.call("POST", "/jobs", ORDER, identified=True, authorizer=data_team)[0] == 202
    assert api.machine.executions["night"].input["by"] == "token:nurse"
