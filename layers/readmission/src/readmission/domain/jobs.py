"""Scoring jobs: the order of a job, where its files are, and the payloads between the states of `score`.

A job is an execution of the state machine `score`, and its id is the execution's name. All its files are below one
prefix of the data bucket.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, TypedDict

from readmission.errors import InvalidRequest

INCOMING: Final = "scoring/incoming/"
"""Files to score. The schedule scores the newest one."""
UPLOADS: Final = "scoring/uploads/"
"""Files that a person scores by a job of its own. The schedule does not see them."""
JOBS: Final = "scoring/jobs/"
SCHEDULED: Final = "scoring/scheduled/"
"""Which files the schedule has scored."""
READABLE: Final = (INCOMING, UPLOADS, "incoming/")
"""The prefixes of the data bucket that a job may read: no job reads what the pipeline or another job has written."""
ROUTE: Final = "/jobs"
"""Of the prediction log."""

PLAN: Final = "plan.json"
RESULT: Final = "job.json"
CSV: Final = "results.csv"
REFUSED: Final = "refused.csv"
PARQUET: Final = "parquet/"
COUNTS: Final = "counts/"
WORK: Final = "work/"

DEFAULT_CHUNK_ROWS: Final = 5_000
MAX_CHUNK_ROWS: Final = 20_000
MAX_CHUNKS: Final = 1_000
"""Step Functions stops an execution after 25,000 events, of which a chunk causes about 7."""

JOB_SECONDS: Final = 21_600
"""The longest that a job may take: the time limit of the state machine."""

type Explain = Literal["none", "high", "all"]
type Starter = Literal["person", "schedule"]

EXPLAINS: Final[tuple[Explain, ...]] = ("none", "high", "all")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIELDS: Final = ("source", "delivery", "explain", "chunk_rows", "by", "started_by")
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A valid request: the key of the file to score (`source`) or the name of a delivery.

    Both are None if the newest incoming file is to be scored. `explain` is which rows get an explanation: none, those
    in the bands high and very high, or all.
    """

    source: str | None
    delivery: str | None
    explain: Explain
    chunk_rows: int
    by: str | None
    started_by: Starter

    def asked(self) -> dict[str, Any]:
        """What makes two requests with one id the same: all but who sent them."""
        return {
            "source": self.source,
            "delivery": self.delivery,
            "explain": self.explain,
            "chunk_rows": self.chunk_rows,
        }


class PlanEvent(TypedDict):
    """Input of *score* at first: the execution's name, start time (ISO 8601, UTC) and input."""

    task: Literal["plan"]
    execution: str
    started_at: str
    input: Any


class JobPlan(TypedDict):
    """Result of the plan. `skipped` says why there is nothing to score; None if there is."""

    rows: int
    chunks: list[int]
    model_version: str | None
    skipped: str | None


class ChunkEvent(TypedDict):
    """Input of *score* for one chunk, by its number from 1."""

    task: Literal["chunk"]
    execution: str
    chunk: int


class ChunkResult(TypedDict):
    """How many rows of the chunk have a forecast, and how many do not."""

    chunk: int
    answered: int
    refused: int


class FinishEvent(TypedDict):
    """Input of *score* at the end."""

    task: Literal["finish"]
    execution: str


class JobResult(TypedDict):
    """Result of the job. `rows` is `answered` and `refused` together; the rest are keys of the data bucket.

    `results` and `refused_rows` are CSV files; below the prefix `parquet` are the results as Parquet.
    """

    job: str
    source: str
    model_name: str
    model_version: str
    data_kind: str
    rows: int
    answered: int
    refused: int
    results: str
    refused_rows: str
    parquet: str


class JobAnswer(TypedDict):
    """What `GET /jobs/{id}` answers. `status` is running, succeeded, failed or stopped.

    `chunks` and `chunks_done` count the parts of the job, once they are known. `result` is there if it has succeeded,
    `skipped` if there was nothing to score, and `error` if it has failed.
    """

    id: str
    status: str
    started_at: str
    ended_at: str | None
    explain: str
    source: NotRequired[str]
    delivery: NotRequired[str]
    model_version: NotRequired[str]
    rows: NotRequired[int]
    chunks: NotRequired[int]
    chunks_done: NotRequired[int]
    result: NotRequired[JobResult]
    skipped: NotRequired[str]
    error: NotRequired[dict[str, str]]


def is_id(text: str) -> bool:
    """Whether this may be the id of a job."""
    return _ID.fullmatch(text) is not None


def parse_request(document: Any, bucket: str) -> JobRequest:
    """Validate the input of an execution, which may be a scheduled event of EventBridge.

    `bucket` is the data bucket. Raises `InvalidRequest` with the field and what it must be.
    """
    if not isinstance(document, Mapping):  # Step Functions accepts any JSON
        raise InvalidRequest(f"the input must be a JSON object, not {type(document).__name__}")
    if document.get("source") == "aws.events":
        return JobRequest(None, None, "none", DEFAULT_CHUNK_ROWS, "schedule", "schedule")
    for name in document:
        if name not in _FIELDS:
            raise InvalidRequest(f"input field {name!r} is unknown; the known fields are {', '.join(_FIELDS)}")
    source, delivery = _source(document.get("source"), bucket), _text(document, "delivery", "the name of a delivery")
    started_by = document.get("started_by", "person")
    if started_by not in ("person", "schedule"):
        raise InvalidRequest("input field 'started_by' must be person or schedule")
    if (source is None) == (delivery is None) and (source or started_by == "person"):
        raise InvalidRequest("one of the input fields 'source' and 'delivery' must say what to score")
    explain = document.get("explain", "none")
    if explain not in EXPLAINS:
        raise InvalidRequest(f"input field 'explain' must be one of {', '.join(EXPLAINS)}")
    chunk_rows = document.get("chunk_rows", DEFAULT_CHUNK_ROWS)
    if type(chunk_rows) is not int or not 1 <= chunk_rows <= MAX_CHUNK_ROWS:
        raise InvalidRequest(f"input field 'chunk_rows' must be a whole number from 1 to {MAX_CHUNK_ROWS}")
    return JobRequest(source, delivery, explain, chunk_rows, _text(document, "by", "a name"), started_by)


def _source(source: Any, bucket: str) -> str | None:
    """The key of an address or a key."""
    if source is None:
        return None
    if not isinstance(source, str) or not source:
        raise InvalidRequest("input field 'source' must be the key of an object in the data bucket, or s3://bucket/key")
    key = source
    if "://" in source:
        scheme, _, rest = source.partition("://")
        named, _, key = rest.partition("/")
        if scheme != "s3" or named != bucket:
            raise InvalidRequest(f"input field 'source' must be in the data bucket, s3://{bucket}/")
    if not key.startswith(READABLE) or key.endswith("/"):
        raise InvalidRequest(f"input field 'source' must be the key of a file below {', '.join(READABLE)}")
    return key


def _text(document: Mapping[str, Any], name: str, what: str) -> str | None:
    text = document.get(name)
    if text is None:
        return None
    if not (isinstance(text, str) and 1 <= len(text.strip()) <= _LONGEST_NAME and "\0" not in text):
        raise InvalidRequest(f"input field {name!r} must be {what} of 1 to {_LONGEST_NAME} characters")
    return text.strip()
