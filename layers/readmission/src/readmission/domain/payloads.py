"""What passes between the states of `statemachines/pipeline.asl.json`, and the check of an execution's input.

Every payload is small and of fixed size but the plan's list of batch numbers, which `MAX_BATCHES` bounds: the rows
themselves travel through S3 and Postgres.

Every event has the execution's name, which the lines that a function logs have as `correlation_id`. Where it is not
required, the step needs it for nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, TypedDict

from readmission.errors import InvalidRequest

type Step = Literal["ingest", "clean", "train", "promote"]
type DataKind = Literal["real", "synthetic"]
type Family = Literal["logistic_regression", "random_forest", "gradient_boosting"]

STEPS: Final[tuple[Step, ...]] = ("ingest", "clean", "train", "promote")
FAMILIES: Final[tuple[Family, ...]] = ("logistic_regression", "random_forest", "gradient_boosting")
DEFAULT_BATCH_SIZE: Final = 15_000
MAX_BATCH_SIZE: Final = 100_000
# Each batch makes about 14 events, and Step Functions ends an execution at 25,000 of them.
MAX_BATCHES: Final = 1_000


@dataclass(frozen=True, slots=True)
class PipelineRequest:
    """An execution's input, checked. Every field is optional there."""

    source: str | None
    batch_size: int
    models: tuple[Family, ...]
    start_at: Step
    stop_after: Step


class PlanEvent(TypedDict):
    """What the state machine hands to *plan*: the execution's name, its start (ISO 8601, UTC) and its input."""

    execution: str
    started_at: str
    input: dict[str, Any]


class Plan(TypedDict):
    """What *plan* answers; every later state sees it."""

    source: str
    data_kind: DataKind
    manifest: str
    rows: int
    batches: list[int]
    models: list[Family]
    start_at: Step
    stop_after: Step


class BatchEvent(TypedDict):
    """What one iteration of the maps over *ingest* and *clean* gets: the manifest's key, and the batch's number."""

    execution: NotRequired[str]
    manifest: str
    batch: int


class IngestResult(TypedDict):
    batch: int
    rows: int
    added: int


class CleanResult(TypedDict):
    batch: int
    rows: int
    cleaned: int
    quarantined: int


class CheckEvent(TypedDict):
    """What *check* gets once every batch is clean."""

    execution: NotRequired[str]
    manifest: str


class CheckResult(TypedDict):
    """Of all batches of the run."""

    rows: int
    cleaned: int
    quarantined: int


class TrainEvent(TypedDict):
    execution: str
    data_kind: DataKind
    model: Family


class TrainResult(TypedDict):
    model: Family
    mlflow_run_id: str


class PromoteEvent(TypedDict):
    """`candidates` are MLflow run ids; none means the newest finished run of each family in `models`.

    `execution` is the state machine's execution, which decides once; another caller has none.
    """

    execution: NotRequired[str | None]
    data_kind: DataKind
    models: list[Family]
    candidates: list[TrainResult]


class PromoteResult(TypedDict):
    decision: Literal["promoted", "refused"]
    reason: str
    model: Family
    version: str
    production_version: str


class RollbackRequest(TypedDict):
    """What a person asks *promote* for; without a version, the one that served before."""

    version: NotRequired[str | None]
    reason: NotRequired[str | None]


class RollbackResult(TypedDict):
    version: str
    previous_version: str
    reason: str


class PlotsEvent(TypedDict):
    """What *report* gets after a training."""

    execution: NotRequired[str]
    task: Literal["plots"]
    model: Family
    mlflow_run_id: str


class CardEvent(TypedDict):
    """What *report* gets after the promotion."""

    execution: NotRequired[str]
    task: Literal["card"]
    data_kind: DataKind
    promotion: PromoteResult


class ReportResult(TypedDict):
    """The artifacts that were written to the run."""

    mlflow_run_id: str
    artifacts: list[str]


def parse_request(document: Mapping[str, Any]) -> PipelineRequest:
    """Check an execution's input. Raises `InvalidRequest` that names the field and what it may be."""
    if not isinstance(document, Mapping):  # Step Functions takes any JSON
        raise InvalidRequest(f"the input must be a JSON object, not {type(document).__name__}")
    known = {"source", "batch_size", "models", "start_at", "stop_after"}
    for name in document:
        if name not in known:
            raise InvalidRequest(f"input field {name!r} is unknown; known are {', '.join(sorted(known))}")
    source = document.get("source")
    if source is not None and (not isinstance(source, str) or not source.strip()):
        raise InvalidRequest("input field 'source' must be a URL, s3://bucket/key or synthetic[:rows=N][,seed=N]")
    batch_size = document.get("batch_size", DEFAULT_BATCH_SIZE)
    if type(batch_size) is not int or not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise InvalidRequest(f"input field 'batch_size' must be a whole number from 1 to {MAX_BATCH_SIZE}")
    start_at: Step = _one_of(document, "start_at", STEPS, "ingest")
    stop_after: Step = _one_of(document, "stop_after", STEPS, "promote")
    if STEPS.index(stop_after) < STEPS.index(start_at):
        raise InvalidRequest(f"input field 'stop_after': {stop_after!r} comes before 'start_at' {start_at!r}")
    return PipelineRequest(source, batch_size, _models(document), start_at, stop_after)


def _one_of[T: str](document: Mapping[str, Any], name: str, allowed: tuple[T, ...], default: T) -> T:
    value = document.get(name, default)
    for one in allowed:
        if value == one:
            return one
    raise InvalidRequest(f"input field {name!r} must be one of {', '.join(allowed)}")


def _models(document: Mapping[str, Any]) -> tuple[Family, ...]:
    models = document.get("models", list(FAMILIES))
    if not isinstance(models, list) or not models or any(model not in FAMILIES for model in models):
        raise InvalidRequest(f"input field 'models' must be a list of one or more of {', '.join(FAMILIES)}")
    return tuple(family for family in FAMILIES if family in models)
