"""`POST /jobs` and `GET /jobs/{id}`: start a scoring job, and follow it.

They are answered by a function of their own, which may start executions; the function that forecasts may not.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from readmission.domain import jobs
from readmission.domain.jobs import JobAnswer, JobRequest, is_id, parse_request
from readmission.errors import InvalidRequest, JobsUnavailable, StorageUnavailable
from readmission.http import bodies, proxy
from readmission.http.problems import FieldError, Refused, printable_name
from readmission.identity.actor import Actor
from readmission.storage.job_files import JobFiles
from readmission.telemetry.logs import Logger

MAX_BODY_BYTES: Final = 16 * 1024
PATH: Final = "/jobs"
_ASKED: Final = ("id", "source", "delivery", "explain", "chunk_rows")
_RUNNING: Final = "RUNNING"
_STATUS: Final = {_RUNNING: "running", "SUCCEEDED": "succeeded", "ABORTED": "stopped"}
_AGAIN: Final = "try again later"


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of the state machine, as Step Functions describes it. Times are ISO 8601, UTC."""

    status: str
    started_at: str
    ended_at: str | None
    input: Any
    output: Any
    error: str | None
    cause: str | None


class Machine(Protocol):
    """The state machine `score`. Its methods raise `JobsUnavailable`."""

    def start(self, job: str, document: Mapping[str, Any]) -> bool:
        """Start an execution of this name; False if there is one."""

    def describe(self, job: str) -> Execution | None:
        """The execution of this name, or None."""


def respond(
    event: Mapping[str, Any],
    machine: Machine,
    files: Callable[[str], JobFiles],
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
    cors_origins: Sequence[str] = (),
    *,
    identified: bool = False,
) -> dict[str, Any]:
    """Answer a proxy event. `files` are those of a job, by its id.

    Never raises; see `proxy.respond`, also for the other arguments.
    """
    return proxy.respond(
        event,
        lambda request: _jobs(request, machine, files, identified=identified),
        logger,
        correlate,
        cors_origins,
        identified=identified,
    )


def _jobs(
    request: proxy.Request, machine: Machine, files: Callable[[str], JobFiles], *, identified: bool
) -> proxy.Response:
    job = request.path.removeprefix(PATH).removeprefix("/")
    allowed = ("GET", "HEAD") if job else ("POST",)
    if request.method not in allowed:
        headers = {"Allow": ", ".join(allowed)}
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "This path does not support this method", headers=headers)
    try:
        return _follow(job, machine, files) if job else _start(request, machine, files, identified=identified)
    except JobsUnavailable as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"Jobs cannot be started or followed now; {_AGAIN}") from error
    except StorageUnavailable as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"The storage is unavailable; {_AGAIN}") from error


def _start(
    request: proxy.Request, machine: Machine, files: Callable[[str], JobFiles], *, identified: bool
) -> proxy.Response:
    """Start the job, unless there is one of this id and the same order: then that one is the answer."""
    if len(request.content) > MAX_BODY_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES} bytes")
    bodies.media_type(request, bodies.JSON)
    document = bodies.json_of(bodies.decoded(request.content))
    job, asked = _asked(document, files("-").bucket)
    body = {name: value for name, value in asked.asked().items() if value is not None}
    if machine.start(job, body | {"by": _who(request, identified=identified)}):
        status = HTTPStatus.ACCEPTED
    else:
        status = HTTPStatus.OK
        found = machine.describe(job)
        if found is None or _request_of(found, files(job).bucket) != asked.asked():
            error = FieldError("id", "is that of a job with another order", "job_id_used")
            raise Refused(HTTPStatus.CONFLICT, "The id is that of another job", [error])
    return _json(_answer(job, machine, files(job)), status)


def _asked(document: Any, bucket: str) -> tuple[str, JobRequest]:
    if not isinstance(document, dict):
        error = FieldError("job", "must be a JSON object", "not_an_object")
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The job must be a JSON object", [error])
    if unknown := [printable_name(name) for name in document if name not in _ASKED]:
        errors = [FieldError(name, "is not a field of a job", "unknown_field") for name in unknown]
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The job has unknown fields", errors)
    job = document.get("id")
    if job is None:
        job = uuid.uuid4().hex
    if not isinstance(job, str) or not is_id(job):
        error = FieldError("id", "must have 1 to 80 letters, digits, hyphens and underscores", "job_id")
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The id of the job is invalid", [error])
    given = {name: value for name, value in document.items() if name != "id"}
    try:
        return job, parse_request(given, bucket)
    except InvalidRequest as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"The job is invalid: {error}") from None


def _request_of(execution: Execution, bucket: str) -> dict[str, Any] | None:
    """The order of the execution; None if its input is none that a job accepts."""
    try:
        return parse_request(execution.input, bucket).asked()
    except InvalidRequest:
        return None


def _who(request: proxy.Request, *, identified: bool) -> str:
    """Who asks, as `token:` or `api_key:` and the subject."""
    if identified:
        actor = Actor.from_gateway(request.gateway)
    else:
        actor = Actor.with_key(str((request.gateway.get("identity") or {}).get("apiKeyId") or ""))
    return f"{actor.kind}:{actor.subject}"[:200]


def _follow(job: str, machine: Machine, files: Callable[[str], JobFiles]) -> proxy.Response:
    if not is_id(job):
        raise _no_job()
    return _json(_answer(job, machine, files(job)))


def _answer(job: str, machine: Machine, files: JobFiles) -> JobAnswer:
    execution = machine.describe(job)
    if execution is None:
        raise _no_job()
    asked = _request_of(execution, files.bucket) or {}
    answer: JobAnswer = {
        "id": job,
        "status": _STATUS.get(execution.status, "failed"),
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "explain": asked.get("explain") or "none",
    }
    if asked.get("delivery"):
        answer["delivery"] = asked["delivery"]
    elif asked.get("source"):
        answer["source"] = asked["source"]
    _add_progress(answer, files)
    _add_outcome(answer, execution)
    return answer


def _add_progress(answer: JobAnswer, files: JobFiles) -> None:
    planned = files.document(jobs.PLAN)
    if planned is not None:
        answer["rows"], answer["chunks"] = planned["rows"], planned["chunks"]
        answer["model_version"] = planned["version"]["number"]
        answer["chunks_done"] = sum(1 for _ in files.names(jobs.COUNTS))
        if not planned["source"].startswith("delivery "):
            answer["source"] = planned["source"]


def _add_outcome(answer: JobAnswer, execution: Execution) -> None:
    if answer["status"] == "succeeded":
        if skipped := execution.output.get("skipped"):
            answer["skipped"] = skipped
        else:
            answer["result"] = execution.output
    elif answer["status"] == "failed":
        answer["error"] = {"code": execution.error or execution.status, "message": _message(execution.cause)}


def _message(cause: str | None) -> str:
    """The message of a failed execution. The cause of a function's error is JSON with an `errorMessage`."""
    try:
        document = json.loads(cause or "")
    except ValueError:
        return cause or ""
    return str(document.get("errorMessage", cause)) if isinstance(document, dict) else str(cause)


def _no_job() -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "There is no job of this id")


def _json(document: JobAnswer, status: int = HTTPStatus.OK) -> proxy.Response:
    return proxy.Response(bodies.JSON, json.dumps(document, ensure_ascii=False), status)
