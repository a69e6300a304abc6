"""A client of the API that needs only the Python standard library, so that this file can be copied on its own."""

import http.client
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NotRequired, Protocol, Self, TypedDict
from urllib.parse import urlsplit

RETRIED: Final = frozenset({429, 502, 503, 504})
FIRST_WAIT_SECONDS: Final = 0.2
MAX_WAIT_SECONDS: Final = 60.0  # if Retry-After is longer, the problem is raised instead

_SECURE: Final = "https"
_JSON: Final = "application/json"
_CSV: Final = "text/csv"


class EarlyRisk(TypedDict):
    """The risk of a readmission within 30 days. Band and percentile are None if the model does not provide them."""

    probability: float
    band: str | None
    percentile: float | None


class History(TypedDict):
    """What a look-up of the patient's earlier stays found. `earlier_stays` is None if it was unavailable."""

    status: str
    earlier_stays: int | None
    stays: str


class Forecast(TypedDict):
    """The most probable class, the probability of each class, the early risk, and the history if it was looked up."""

    readmitted: str
    probabilities: dict[str, float]
    early_risk: EarlyRisk
    history: NotRequired[History]


class Contribution(TypedDict):
    """What a field adds to the log-odds of an early readmission."""

    field: str
    contribution: float
    direction: str


class Explanation(TypedDict):
    """Log-odds of an early readmission: of a median patient, of this one, and what each field adds."""

    base_score: float
    score: float
    contributions: list[Contribution]


class Prediction(Forecast):
    """The forecast for one encounter, and the model that made it."""

    model_name: str
    model_version: str
    data_kind: str
    request_id: str
    explanation: NotRequired[Explanation]


class Wrong(TypedDict):
    """What is wrong with a field; `code` and `params` say the same for programs that translate."""

    field: str
    message: str
    code: NotRequired[str]
    params: NotRequired[dict[str, Any]]


class RowProblem(TypedDict):
    """Why an encounter of a batch has no forecast, or an outcome was not stored."""

    detail: str
    errors: list[Wrong]


class _Index(TypedDict):
    index: int


class BatchForecast(Forecast):
    """The forecast for one encounter of a batch.

    `model_version` is there only if another version than that of the batch made it: a canary.
    """

    model_version: NotRequired[str]


class Row(_Index, total=False):
    """The answer to one encounter of a batch: a prediction or a problem."""

    prediction: BatchForecast
    problem: RowProblem


class BatchPrediction(TypedDict):
    """The answers to a batch, in the order of the request."""

    model_name: str
    model_version: str
    data_kind: str
    request_id: str
    answered: int
    refused: int
    predictions: list[Row]


class OutcomeRow(_Index, total=False):
    """What became of one outcome of a request: `stored`, or `repeated` if it had been stored before, or a problem."""

    result: str
    problem: RowProblem


class OutcomeReport(TypedDict):
    """What became of the outcomes of a request, in their order."""

    request_id: str
    stored: int
    repeated: int
    refused: int
    outcomes: list[OutcomeRow]


class Health(TypedDict):
    """The API is available and serves this version."""

    status: str
    model_version: str


class Reload(TypedDict):
    """The served version after and before polling the registry."""

    model_version: str
    previous_version: str | None


class Figure(TypedDict):
    """A metric on the test rows, with its 95% confidence interval if there is one."""

    value: float
    low: float | None
    high: float | None


class ChallengerDescription(TypedDict):
    """The version that is tried on live requests, and answers `canary_share` of the patients. `since` is ISO 8601."""

    version: str
    family: str
    since: str | None
    canary_share: float
    mlflow_run_id: str


class ModelDescription(TypedDict):
    """The version in production. `serves_since` is ISO 8601, UTC. Earlier releases lack the `NotRequired` fields."""

    name: str
    version: str
    family: str
    data_kind: str
    sites: list[str]
    recalibrated_for: NotRequired[str | None]
    serves_since: str | None
    reason: str | None
    mlflow_run_id: str
    test_metrics: dict[str, Figure]
    model_card: dict[str, str]
    challenger: NotRequired[ChallengerDescription | None]


class Decision(TypedDict):
    """An entry of the promotion ledger: a decision on what serves, or on a version that is tried on live requests.

    `decided_at` is ISO 8601, UTC. `decided_by` is who asked for it or started the run, or `guard`, and `forced` whether
    it overrode an objection. `reason_code` is empty in entries of earlier releases, whose APIs also lack these three
    fields.
    """

    id: int
    decided_at: str
    model_name: str
    version: str
    previous_version: str | None
    decision: str
    reason: str
    metrics: dict[str, Any]
    data_kind: str
    data_hash: str
    code_version: str
    execution: str | None
    family: str
    mlflow_run_id: str
    decided_by: NotRequired[str | None]
    forced: NotRequired[bool]
    reason_code: NotRequired[str]


class ApiProblem(Exception):
    """The API, or the gateway in front of it, answered with an error. `errors` lists the invalid fields."""

    def __init__(self, status: int, detail: str, errors: Sequence[Wrong] = (), request_id: str | None = None) -> None:
        super().__init__(f"{status}: {detail}{''.join(f'; {one["field"]} {one["message"]}' for one in errors)}")
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.request_id = request_id


class ApiUnreachable(Exception):
    """No answer was received: the connection failed or broke, the certificate is not trusted, or time ran out."""


class Response(Protocol):
    """The part of `http.client.HTTPResponse` that is used."""

    status: int

    def getheader(self, name: str) -> str | None: ...

    def read(self) -> bytes: ...


class Connection(Protocol):
    """The part of `http.client.HTTPConnection` that is used."""

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> None: ...

    def getresponse(self) -> Response: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    retry_after: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token of an OpenID Connect issuer, which `Client` takes in place of an API key."""

    value: str = field(repr=False)


class Client:
    """Sends requests to the API at `url` over one kept connection, so use one client per thread.

    A request is retried up to `retries` times if the connection fails or breaks, or if the status is 429, 502, 503 or
    504; this is safe because every request is idempotent. A request that exceeds `timeout` seconds is not retried.
    Every method raises `ApiProblem` or `ApiUnreachable`. Proxy environment variables are ignored.
    """

    def __init__(
        self,
        url: str,
        api_key: str | BearerToken | None = None,
        *,
        ca_file: str | Path | None = None,
        timeout: float = 30,
        retries: int = 3,
        connect: Callable[[], Connection] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`ca_file` contains the certificates to trust instead of the system's. `connect` and `sleep` are for tests.

        Raises `ValueError` if the URL is not http(s), and `OSError` if `ca_file` cannot be read.
        """
        self._path = urlsplit(url).path.rstrip("/")
        self._connect = connect or _connector(url, ca_file, timeout)
        self._headers = {"Accept": _JSON} | _credential(api_key)
        self._retries = retries
        self._sleep = sleep
        self._connection: Connection | None = None

    def predict(self, encounter: Mapping[str, Any], *, explain: bool = False) -> Prediction:
        """Forecast one encounter, given as 14 prepared fields or as a row of the UCI file."""
        answer: Prediction = self._ask("POST", "/predict?explain=true" if explain else "/predict", encounter)
        return answer

    def predict_batch(self, encounters: Sequence[Mapping[str, Any]]) -> BatchPrediction:
        """Forecast up to 1,000 encounters. An invalid one has a problem in its row."""
        answer: BatchPrediction = self._ask("POST", "/predict/batch", {"encounters": list(encounters)})
        return answer

    def predict_csv(self, text: str) -> str:
        """The same, from a CSV with the fields' names in its first line to one with a line for each of its rows."""
        return self._send("POST", "/predict/batch", text.encode(), {"Content-Type": _CSV, "Accept": _CSV}).text

    def predict_csv_rows(self, text: str) -> BatchPrediction:
        """The same CSV, answered like `predict_batch`: with what is wrong in each row by field."""
        answer: BatchPrediction = self._ask("POST", "/predict/batch", text, _CSV)
        return answer

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> OutcomeReport:
        """Report what became of patients: up to 1,000 outcomes, of which an invalid one has a problem in its row.

        An outcome has `encounter_id` and `readmitted` ("<30", ">30" or "NO"), and may have `site` and
        `discharge_date`. The newest outcome of an encounter counts.
        """
        # With an id of its own, a request that is sent again stores nothing twice.
        answer: OutcomeReport = self._ask("POST", "/outcomes", list(outcomes), request_id=uuid.uuid4().hex)
        return answer

    def report_csv(self, text: str) -> OutcomeReport:
        """The same from a CSV with the fields' names in its first line."""
        answer: OutcomeReport = self._ask("POST", "/outcomes", text, _CSV, request_id=uuid.uuid4().hex)
        return answer

    def feedback(self, feedback: Sequence[Mapping[str, Any]]) -> int:
        """Say what was done about forecasts of the prediction log, and return how many entries were kept.

        An entry has the `request_id` of the forecast, its `position` in a batch, the `outcome` (`accepted`,
        `overridden` or `contacted`) and `outcome_at` (ISO 8601, with time zone), and may have `reason` and `by`. Raises
        `ApiProblem` 404 if there is no prediction log.
        """
        kept: int = self._ask("POST", "/feedback", {"feedback": list(feedback)})["kept"]
        return kept

    def health(self) -> Health:
        """The served version. Raises `ApiProblem` 503 if there is none."""
        answer: Health = self._ask("GET", "/health")
        return answer

    def model(self) -> ModelDescription:
        """The version in production, with its metrics. Raises `ApiProblem` 503 if there is none."""
        answer: ModelDescription = self._ask("GET", "/model")
        return answer

    def model_card(self) -> str:
        """The model card in Markdown. Raises `ApiProblem` 404 if there is none."""
        return self._send("GET", "/model?card=markdown", None, {"Accept": "text/markdown"}).text

    def history(self, limit: int = 20) -> list[Decision]:
        """The newest decisions of the promotion ledger, newest first; `limit` is 1 to 1,000."""
        decisions: list[Decision] = self._ask("GET", f"/model/history?limit={limit}")["decisions"]
        return decisions

    def monitor(self) -> dict[str, Any]:
        """What the monitor found when it last ran. Raises `ApiProblem` 404 before its first run."""
        document: dict[str, Any] = self._ask("GET", "/monitor")
        return document

    def reload(self) -> Reload:
        """Make the API poll the model registry now."""
        answer: Reload = self._ask("POST", "/reload-model")
        return answer

    def close(self) -> None:
        """Close the connection. The next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
        kind: str = _JSON,
        *,
        request_id: str | None = None,
    ) -> Any:
        body = None
        if document is not None:
            body = (document if isinstance(document, str) else json.dumps(document)).encode()
        headers = {} if body is None else {"Content-Type": kind}
        answer = self._send(method, path, body, headers | ({"x-request-id": request_id} if request_id else {}))
        try:
            return json.loads(answer.text)
        except ValueError as error:
            raise ApiProblem(answer.status, "The answer is not valid JSON", request_id=answer.request_id) from error

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> _Answer:
        """Send a request, with retries."""
        request = _Request(method, self._path + path, body, {**self._headers, **headers})
        for tried in range(self._retries + 1):
            last = tried == self._retries
            wait = FIRST_WAIT_SECONDS * 2**tried * random.uniform(0.5, 1)
            try:
                answer = self._exchange(request)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last or isinstance(error, TimeoutError | ssl.SSLCertVerificationError):
                    raise ApiUnreachable(
                        f"no answer to {method} {request.path}: {error or type(error).__name__}"
                    ) from error
            else:
                if answer.status < 400:
                    return answer
                wait = _seconds(answer.retry_after, wait)
                if last or answer.status not in RETRIED or wait > MAX_WAIT_SECONDS:
                    raise _problem(answer)
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _exchange(self, request: _Request) -> _Answer:
        if self._connection is not None:
            try:
                return _exchange(self._connection, request)
            except (ConnectionError, http.client.HTTPException):
                # Servers close idle connections, which is noticed only at the next use.
                self.close()
        self._connection = self._connect()
        return _exchange(self._connection, request)


def _connector(url: str, ca_file: str | Path | None, timeout: float) -> Callable[[], Connection]:
    parts = urlsplit(url)
    host = parts.hostname
    if host is None or parts.scheme not in (_SECURE, "http"):
        raise ValueError(f"not an http or https URL: {url!r}")
    if parts.scheme == "http":
        return lambda: http.client.HTTPConnection(host, parts.port, timeout=timeout)
    # Created once, because it reads all certificates of the system.
    context = ssl.create_default_context(cafile=ca_file)
    return lambda: http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)


def _exchange(connection: Connection, request: _Request) -> _Answer:
    connection.request(request.method, request.path, request.body, request.headers)
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    request_id = response.getheader("x-request-id") or response.getheader("x-amzn-RequestId")
    return _Answer(response.status, text, response.getheader("Retry-After"), request_id)


def _seconds(retry_after: str | None, default: float) -> float:
    """The seconds to wait by a Retry-After header, which has seconds or a date."""
    if retry_after is None:
        return default
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return default


def _problem(answer: _Answer) -> ApiProblem:
    """The error for a problem document, or for any other answer, which may come from a gateway."""
    try:
        document = json.loads(answer.text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return ApiProblem(answer.status, answer.text[:200] or "No reason given", request_id=answer.request_id)
    detail = document.get("detail") or document.get("message") or "No reason given"
    request_id = document.get("request_id") or answer.request_id
    return ApiProblem(answer.status, str(detail), document.get("errors") or (), request_id)


def _credential(given: str | BearerToken | None) -> dict[str, str]:
    if isinstance(given, BearerToken):
        return {"Authorization": f"Bearer {given.value}"}
    return {"x-api-key": given} if given else {}
