"""The client with fake connections: tests neither use a network nor wait."""

import json
import ssl
import time
from collections.abc import Mapping
from email.utils import formatdate
from http.client import IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from readmission import client as clients
from readmission.client import ApiProblem, ApiUnreachable, Client

CONTRACT = json.loads((Path(__file__).parents[3] / "functions" / "predict" / "openapi.json").read_text())
HEALTH = {"status": "ok", "model_version": "3"}


class Answer:
    def __init__(self, status: int, body: Any, **headers: str) -> None:
        self.status = status
        self._body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def getheader(self, name: str) -> str | None:
        return self._headers.get(name.lower())

    def read(self) -> bytes:
        return self._body


class Server:
    """Plays a script of answers and errors, one per request, over any number of connections."""

    def __init__(self, *script: Answer | Exception) -> None:
        self._script = list(script)
        self.asked: list[tuple[str, str, bytes | None, Mapping[str, str]]] = []
        self.opened = 0
        self.closed = 0
        self.waits: list[float] = []

    def client(self, url: str = "https://api.example/v1", **options: Any) -> Client:
        return Client(url, "the-key", connect=self._connect, sleep=self.waits.append, **options)

    def _connect(self) -> "Server":
        self.opened += 1
        return self

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        self.asked.append((method, url, body, headers))

    def getresponse(self) -> Answer:
        played = self._script.pop(0)
        if isinstance(played, Exception):
            raise played
        return played

    def close(self) -> None:
        self.closed += 1


def test_a_request_has_the_path_of_the_url_the_key_and_the_fields() -> None:
    server = Server(Answer(200, {"readmitted": "NO"}))
    assert server.client("https://api.example/v1/").predict({"age_numeric": 55}) == {"readmitted": "NO"}
    ((method, path, body, headers),) = server.asked
    assert (method, path, body) == ("POST", "/v1/predict", b'{"age_numeric": 55}')
    assert headers == {"x-api-key": "the-key", "Accept": "application/json", "Content-Type": "application/json"}


def test_a_batch_is_sent_as_its_encounters() -> None:
    server = Server(Answer(200, {"answered": 2}))
    assert server.client().predict_batch([{"a": 1}, {"a": 2}]) == {"answered": 2}
    assert server.asked[0][1:3] == ("/v1/predict/batch", b'{"encounters": [{"a": 1}, {"a": 2}]}')


def test_csv_is_sent_and_answered_unchanged() -> None:
    server = Server(Answer(200, "row,readmitted\n1,NO\n"))
    assert server.client().predict_csv("age\n[50-60)\n") == "row,readmitted\n1,NO\n"
    _, path, body, headers = server.asked[0]
    assert (path, body) == ("/v1/predict/batch", b"age\n[50-60)\n")
    assert (headers["Content-Type"], headers["Accept"]) == ("text/csv", "text/csv")


def test_a_csv_is_sent_and_answered_by_row() -> None:
    answer = {"answered": 0, "refused": 1, "predictions": [{"index": 0, "problem": {"detail": "", "errors": []}}]}
    server = Server(Answer(200, answer))
    assert server.client().predict_csv_rows("age\n[50-60)\n") == answer
    _, path, body, headers = server.asked[0]
    assert (path, body) == ("/v1/predict/batch", b"age\n[50-60)\n")
    assert (headers["Content-Type"], headers["Accept"]) == ("text/csv", "application/json")


def test_health_and_reload_send_no_body() -> None:
    server = Server(Answer(200, HEALTH), Answer(200, {"model_version": "4", "previous_version": None}))
    client = server.client()
    assert client.health() == HEALTH and client.reload()["model_version"] == "4"
    assert [(method, path, body) for method, path, body, _ in server.asked] == [
        ("GET", "/v1/health", None),
        ("POST", "/v1/reload-model", None),
    ]


def test_the_model_its_card_and_the_history_are_requested() -> None:
    decisions = [{"id": 2, "decision": "refused"}, {"id": 1, "decision": "promoted"}]
    server = Server(Answer(200, {"version": "3"}), Answer(200, "# Model card"), Answer(200, {"decisions": decisions}))
    client = server.client()
    assert client.model() == {"version": "3"}
    assert client.model_card() == "# Model card"
    assert client.history(2) == decisions
    assert [(method, path, body, headers["Accept"]) for method, path, body, headers in server.asked] == [
        ("GET", "/v1/model", None, "application/json"),
        ("GET", "/v1/model?card=markdown", None, "text/markdown"),
        ("GET", "/v1/model/history?limit=2", None, "application/json"),
    ]


def test_outcomes_are_sent_with_an_id_so_that_a_retry_stores_nothing_twice() -> None:
    report = {"stored": 1, "outcomes": [{"index": 0, "result": "stored"}]}
    server = Server(Answer(503, {}), Answer(200, report), Answer(200, report))
    client = server.client()
    assert client.report([{"encounter_id": 7, "readmitted": "NO"}]) == report
    assert client.report_csv("encounter_id,readmitted\n7,NO\n") == report
    assert [(method, path, body, headers["Content-Type"]) for method, path, body, headers in server.asked] == [
        ("POST", "/v1/outcomes", b'[{"encounter_id": 7, "readmitted": "NO"}]', "application/json"),
        ("POST", "/v1/outcomes", b'[{"encounter_id": 7, "readmitted": "NO"}]', "application/json"),
        ("POST", "/v1/outcomes", b"encounter_id,readmitted\n7,NO\n", "text/csv"),
    ]
    first, again, other = (headers["x-request-id"] for _, _, _, headers in server.asked)
    assert first == again != other


def test_feedback_is_sent_as_a_list_of_entries() -> None:
    server = Server(Answer(200, {"kept": 1}))
    entry = {"request_id": "r-1", "position": 3, "outcome": "contacted", "outcome_at": "2026-11-24T10:00:00+00:00"}
    assert server.client().feedback([entry]) == 1
    ((method, path, body, _),) = server.asked
    assert (method, path, json.loads(body or b"")) == ("POST", "/v1/feedback", {"feedback": [entry]})


def test_one_connection_serves_all_requests_until_it_is_closed() -> None:
    server = Server(*[Answer(200, HEALTH)] * 3)
    with server.client() as client:
        client.health()
        client.health()
        assert (server.opened, server.closed) == (1, 0)
    assert server.closed == 1
    client.health()
    assert server.opened == 2


def test_a_problem_is_raised_with_its_details() -> None:
    errors = [{"field": "time_in_hospital", "message": "is required"}]
    server = Server(Answer(422, {"detail": "no", "errors": errors, "request_id": "r-1"}))
    with pytest.raises(ApiProblem, match="422: no; time_in_hospital is required") as raised:
        server.client().predict({})
    problem = raised.value
    assert (problem.status, problem.detail, problem.errors, problem.request_id) == (422, "no", errors, "r-1")
    assert server.waits == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"message": "Forbidden"}, "Forbidden"),
        ("<html>", "<html>"),
        ("[]", "[]"),
        ("", "No reason given"),
        ({}, "No reason given"),
    ],
)
def test_an_error_of_a_gateway_is_raised_with_its_message(body: Any, detail: str) -> None:
    with pytest.raises(ApiProblem) as raised:
        Server(Answer(403, body, x_amzn_requestid="g-1")).client().health()
    # http.client looks headers up whatever their case; so does the one here.
    assert (raised.value.status, raised.value.detail, raised.value.request_id) == (403, detail, "g-1")


def test_an_answer_that_is_not_json_is_a_problem() -> None:
    with pytest.raises(ApiProblem, match="not valid JSON"):
        Server(Answer(200, "<html>")).client().health()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_transient_errors_are_retried_with_growing_waits(status: int) -> None:
    server = Server(*[Answer(status, {})] * 3, Answer(200, HEALTH))
    assert server.client().health() == HEALTH
    assert [0.1 * 2**n <= wait <= 0.2 * 2**n for n, wait in enumerate(server.waits)] == [True] * 3


@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422, 500])
def test_permanent_errors_are_not_retried(status: int) -> None:
    server = Server(Answer(status, {}))
    with pytest.raises(ApiProblem):
        server.client().health()
    assert len(server.asked) == 1


def test_after_the_last_attempt_the_problem_is_raised() -> None:
    server = Server(*[Answer(503, {"detail": "no model"})] * 3)
    with pytest.raises(ApiProblem, match="503: no model"):
        server.client(retries=2).health()
    assert (len(server.asked), len(server.waits)) == (3, 2)


def test_retry_after_sets_the_wait() -> None:
    date = formatdate(time.time() + 30, usegmt=True)
    waits = ["7", "0", date, formatdate(time.time() - 30, usegmt=True), "soon"]
    server = Server(*(Answer(429, {}, retry_after=wait) for wait in waits), Answer(200, HEALTH))
    server.client(retries=5).health()
    seconds, none, until, past, own = server.waits
    assert (seconds, none, past) == (7, 0, 0) and 25 < until <= 30 and 0 < own < 5


def test_a_long_retry_after_is_raised_instead() -> None:
    server = Server(Answer(429, {"detail": "quota"}, retry_after="3600"))
    with pytest.raises(ApiProblem, match="quota"):
        server.client().health()
    assert server.waits == []


@pytest.mark.parametrize("error", [ConnectionRefusedError(), RemoteDisconnected(), IncompleteRead(b""), OSError("dns")])
def test_a_failed_connection_is_reopened(error: Exception) -> None:
    server = Server(error, Answer(200, HEALTH))
    assert server.client().health() == HEALTH
    assert (server.opened, server.closed, len(server.waits)) == (2, 1, 1)


def test_a_stale_connection_is_reopened_without_counting_as_a_retry() -> None:
    server = Server(Answer(200, HEALTH), RemoteDisconnected(), Answer(200, HEALTH))
    client = server.client(retries=0)
    client.health()
    assert client.health() == HEALTH
    assert (server.opened, server.waits) == (2, [])


def test_a_server_that_stays_down_is_unreachable() -> None:
    server = Server(*[ConnectionRefusedError("refused")] * 4)
    with pytest.raises(ApiUnreachable, match="GET /v1/health: refused"):
        server.client().health()
    assert len(server.waits) == 3


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ssl.SSLCertVerificationError("self-signed")])
def test_timeouts_and_untrusted_certificates_are_not_retried(error: Exception) -> None:
    server = Server(error)
    with pytest.raises(ApiUnreachable):
        server.client().health()
    assert server.waits == [] and server.closed == 1


@pytest.mark.parametrize("url", ["", "api.example/v1", "ftp://api.example", "https:///v1"])
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an http"):
        Client(url)


def test_an_unreadable_certificate_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Client("https://api.example", ca_file=tmp_path / "none.pem")


@pytest.mark.parametrize(
    "name",
    [
        "EarlyRisk",
        "BatchForecast",
        "Prediction",
        "Wrong",
        "RowProblem",
        "Row",
        "BatchPrediction",
        "OutcomeRow",
        "OutcomeReport",
        "Health",
        "Reload",
        "Explanation",
        "Contribution",
        "Figure",
        "ModelDescription",
    ],
)
def test_the_types_have_the_fields_of_the_contract(name: str) -> None:
    assert get_type_hints(getattr(clients, name)).keys() == CONTRACT["components"]["schemas"][name]["properties"].keys()


def test_a_decision_has_the_fields_of_the_contract() -> None:
    described = CONTRACT["components"]["schemas"]["PromotionDecision"]["properties"]
    assert get_type_hints(clients.Decision).keys() == described.keys()
