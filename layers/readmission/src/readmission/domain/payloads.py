"""The payloads passed between the states of `statemachines/pipeline.asl.yaml`, and validation of an execution's input.

Rows travel through S3 and Postgres, so payloads are small. All have a fixed size except the plan's list of batch
numbers, which `MAX_BATCHES` limits.

Every event contains the execution's name, which functions log as `correlation_id`. Where it is optional, it has no
other use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, NotRequired, TypedDict, final

from readmission.domain.contract import SiteName, parse_date
from readmission.domain.diagnoses import VERSIONS, Version
from readmission.domain.triggers import STARTERS, Starter, as_request
from readmission.errors import InvalidRequest, StepFailed, StepTimedOut

# A stage is a part of the pipeline that an execution can start at or stop after; it may run several functions.
type Stage = Literal["ingest", "clean", "train", "promote"]
type DataKind = Literal["real", "synthetic"]
# What an execution that comes to the training is to do: see `Earlier`.
type Outcome = Literal["train", "wait", "trained", "decided"]
type Family = Literal["logistic_regression", "random_forest", "gradient_boosting"]

STAGES: Final[tuple[Stage, ...]] = ("ingest", "clean", "train", "promote")
FAMILIES: Final[tuple[Family, ...]] = ("logistic_regression", "random_forest", "gradient_boosting")
DEFAULT_BATCH_SIZE: Final = 15_000
MAX_BATCH_SIZE: Final = 100_000
# Step Functions stops an execution after 25,000 events; a batch causes about 14.
MAX_BATCHES: Final = 1_000
# Of a person who starts an execution or asks for a rollback.
LONGEST_NAME: Final = 200
# The site of a delivery that names none.
DEFAULT_SITE: Final = "default"
# Of the reason why an execution is started.
LONGEST_REASON: Final = 2000
_FIELDS: Final = (
    "batch_size",
    "by",
    "data_kind",
    "diag_version",
    "event",
    "force",
    "mapping",
    "models",
    "reason",
    "site",
    "source",
    "start_at",
    "started_by",
    "stop_after",
    "taken_on",
)
_SITE: Final = SiteName()
_DATA_KINDS: Final[tuple[DataKind, ...]] = ("real", "synthetic")
OF_DELIVERY: Final = ("data_kind", "diag_version", "mapping", "site", "taken_on")
"""The fields of an execution's input that describe the delivery which it brings."""


@dataclass(frozen=True, slots=True)
class PipelineRequest:
    """A validated execution input, with defaults filled in.

    `site` is the institution whose encounters the source has. `taken_on` is the day on which they were taken from its
    records, None if the input does not say. `by` is who started the execution, None if nobody says. `force` is whether
    models are trained even if nothing has changed since they were trained the last time. `started_by`, `reason` and
    `event` say why the execution was started: see `domain.triggers`. `data_kind` is what the rows of the source are,
    None if the kind of the source tells. `diag_version` is the version of the diagnoses of rows that do not say their
    own, None if the input does not say either. `mapping` is the S3 address of the file that says how the source's
    columns become those of the contract, None if they are those of the contract.
    """

    source: str | None
    batch_size: int
    models: tuple[Family, ...]
    start_at: Stage
    stop_after: Stage
    site: str = DEFAULT_SITE
    taken_on: date | None = None
    by: str | None = None
    force: bool = False
    started_by: Starter = "person"
    reason: str | None = None
    event: str | None = None
    data_kind: DataKind | None = None
    diag_version: Version | None = None
    mapping: str | None = None

    @property
    def actor(self) -> str | None:
        """Who answers for the execution: the person, or what started it; None for a person without a name."""
        return self.by or (None if self.started_by == "person" else self.started_by)


class PlanEvent(TypedDict):
    """Input of *plan*: the execution's name, start time (ISO 8601, UTC) and input."""

    execution: str
    started_at: str
    input: dict[str, Any]


class Plan(TypedDict):
    """Result of *plan*, available to all later states.

    `by` is who answers for the execution, as the ledger names them. `skipped` says why the execution ends here; None if
    it goes on. `erased` is the number of rows that were left out because their patients were erased; missing if there
    are none.
    """

    source: str
    data_kind: DataKind
    site: str
    manifest: str
    rows: int
    batches: list[int]
    models: list[Family]
    start_at: Stage
    stop_after: Stage
    by: str | None
    force: bool
    started_by: Starter
    skipped: str | None
    erased: NotRequired[int]


class BatchEvent(TypedDict):
    """Input of *ingest* and *clean* for one batch: the manifest's key in S3 and the batch number."""

    execution: NotRequired[str]
    manifest: str
    batch: int


class IngestResult(TypedDict):
    batch: int
    rows: int
    added: int


class CleanResult(TypedDict):
    """Row counts of the batch. `duplicates` are rows that repeat an earlier row of the same batch in all fields."""

    batch: int
    rows: int
    cleaned: int
    quarantined: int
    duplicates: int


class CheckEvent(TypedDict):
    """Input of *check*, which runs once all batches are clean."""

    execution: NotRequired[str]
    manifest: str


class CheckResult(TypedDict):
    """Row counts over all deliveries of the run. `rows` is the sum of the other three."""

    rows: int
    cleaned: int
    quarantined: int
    duplicates: int


class WithdrawalRequest(TypedDict):
    """A request to *check* to take a delivery back."""

    delivery: str
    reason: NotRequired[str | None]


class WithdrawalResult(TypedDict):
    """How many of the delivery's encounters left the clean table, and how many stay by another delivery's row."""

    delivery: str
    removed: int
    kept: int


class PatientRequest(TypedDict):
    """A request to *erase* to find what is stored of a patient."""

    patient: int
    site: str


class ErasureRequest(PatientRequest):
    """A request to *erase* to delete that. `confirm` must be true; `by` is who asks for it."""

    reason: str
    by: str
    confirm: bool


class TrainEvent(TypedDict):
    """Input of *train*. A state machine that can run training jobs says so by `after_job`, which is false at first."""

    execution: str
    data_kind: DataKind
    model: Family
    after_job: NotRequired[bool]


@final
class TrainResult(TypedDict):
    model: Family
    mlflow_run_id: str


class RecalibrationRequest(TypedDict):
    """A request to *train* to recalibrate a version, by default the one in Production, for a site."""

    site: str
    version: str | None


class RecalibrationResult(TypedDict):
    """The run of the recalibrated model, which *promote* registers and judges."""

    data_kind: DataKind
    model: Family
    site: str
    recalibrated_from: str
    mlflow_run_id: str


class TrainingJob(TypedDict):
    """What the state machine makes a SageMaker training job of.

    `name` is the beginning of the job's name. `distributed` is text, as all hyperparameters of a job are. `attempt`
    counts from 1, and the state machine waits `wait_seconds` before it starts the job.
    """

    name: str
    model: Family
    data_kind: DataKind
    execution: str
    distributed: Literal["true", "false"]
    instances: int
    attempt: int
    wait_seconds: int


@final
class JobRequest(TypedDict):
    """Result of *train* in place of a run: a job is to train the family."""

    model: Family
    job: TrainingJob


class Failure(TypedDict):
    """An error as the state machine catches it. The cause of a function's error is JSON with an `errorMessage`."""

    Error: str
    Cause: str


class EndedJob(TypedDict):
    """A training job that succeeded, as the state machine passes it on."""

    TrainingJobStatus: str


class AfterJobEvent(TypedDict):
    """Input of *train* after a training job, with `after_job` true; `outcome` says how the `attempt` ended."""

    execution: str
    data_kind: DataKind
    model: Family
    after_job: bool
    attempt: int
    outcome: Failure | EndedJob


@final
class FailedTraining(TypedDict):
    """What the state machine passes on in place of the result of a training that failed."""

    model: Family
    failure: Failure


class PromoteEvent(TypedDict):
    """Input of *promote*. Without `candidates`, the newest finished run of each family in `models` is a candidate.

    `candidates` also has the families whose training failed, which the ledger then names.

    `execution` is the name of the state machine's execution, which decides only once. Other callers omit it. `by` is
    who started it. For a version recalibrated for one site, `reason` is why that was done, and `other_sites` lets it
    forecast for other sites as well.
    """

    execution: NotRequired[str | None]
    data_kind: DataKind
    models: list[Family]
    candidates: list[TrainResult | FailedTraining]
    by: NotRequired[str | None]
    reason: NotRequired[str | None]
    other_sites: NotRequired[bool | None]


class Listed(TypedDict):
    """An execution, as Step Functions lists it; it has more fields."""

    Name: str


class EarlierRequest(TypedDict):
    """What *promote* is asked before a training: whether models of the same data, code and settings exist.

    `running` are the executions that are running now.
    """

    data_kind: DataKind
    models: list[Family]
    stop_after: Stage
    force: bool
    running: list[Listed]


class EarlierEvent(TypedDict):
    """Input of *promote* before the training."""

    execution: str
    earlier: EarlierRequest


class PromoteResult(TypedDict):
    decision: Literal["promoted", "refused", "shadowed"]
    reason: str
    model: Family
    version: str
    production_version: str


class Earlier(TypedDict):
    """Result of *promote* before a training.

    - train: there is something new to learn, or the execution is to train all the same;
    - wait: `execution` is training the same; ask again in `wait_seconds`;
    - trained: `candidates` are the models that a training would make again;
    - decided: and `execution` has decided on them: `promotion`.
    """

    outcome: Outcome
    execution: str | None
    wait_seconds: int
    candidates: list[TrainResult]
    promotion: PromoteResult | None


class RollbackRequest(TypedDict):
    """A request to *promote* to roll back to a version; by default, to the one that was in production before.

    `by` is who asks for it. `force` overrides the objections of `RollbackNeedsForce`.
    """

    version: NotRequired[str | None]
    reason: str
    by: str
    force: NotRequired[bool | None]


class RollbackResult(TypedDict):
    """`forced` is whether the rollback overrode an objection."""

    version: str
    previous_version: str
    reason: str
    by: str
    forced: bool


class ChallengeRequest(TypedDict):
    """A request to *promote* to try a registered version on live requests.

    `by` is who asks for it. `force` overrides the objections of `ChallengeNeedsForce`.
    """

    version: str
    reason: str
    by: str
    force: NotRequired[bool | None]


class AbortRequest(TypedDict):
    """A request to *promote* to withdraw the challenger. `by` is who asks for it."""

    reason: str
    by: str


class ChallengeResult(TypedDict):
    """What became of the challenger `version`, which is tried beside `production_version`."""

    decision: Literal["shadowed", "canaried", "promoted", "withdrawn"]
    version: str
    production_version: str
    reason: str
    by: str


class PlotsEvent(TypedDict):
    """Input of *report* after a training."""

    execution: NotRequired[str]
    task: Literal["plots"]
    model: Family
    mlflow_run_id: str


class CardEvent(TypedDict):
    """Input of *report* after the promotion."""

    execution: NotRequired[str]
    task: Literal["card"]
    data_kind: DataKind
    promotion: PromoteResult


class ReportResult(TypedDict):
    """The artifacts written to the MLflow run."""

    mlflow_run_id: str
    artifacts: list[str]


class MonitorEvent(TypedDict):
    """Input of *monitor*: the execution whose last step it is, or who asks for it (`started_by`)."""

    execution: NotRequired[str]
    started_by: NotRequired[str | None]


class MonitorResult(TypedDict):
    """The version in Production (None if there is none), and the numbers of windows and of alerts in the newest ones.

    `key` is that of the document in the data bucket.
    """

    made_at: str
    version: str | None
    windows: int
    alerts: int
    key: str


def error_name(failure: Failure) -> str:
    """The name of a caught error, as an execution that fails with it has it."""
    if failure["Error"] in ("States.Timeout", "Sandbox.Timedout"):
        return StepTimedOut.__name__
    return StepFailed.__name__ if failure["Error"].startswith("States.") else failure["Error"]


def parse_request(document: Any) -> PipelineRequest:
    """Validate an execution's input, which may be an event of EventBridge.

    Raises `InvalidRequest` with the field and its allowed values.
    """
    document = as_request(document)
    if not isinstance(document, Mapping):  # Step Functions accepts any JSON
        raise InvalidRequest(f"the input must be a JSON object, not {type(document).__name__}")
    for name in document:
        if name not in _FIELDS:
            raise InvalidRequest(f"input field {name!r} is unknown; the known fields are {', '.join(_FIELDS)}")
    source = document.get("source")
    if source is not None and (not isinstance(source, str) or not source.strip()):
        raise InvalidRequest("input field 'source' must be a URL, s3://bucket/key or synthetic[:rows=N][,seed=N]")
    batch_size = document.get("batch_size", DEFAULT_BATCH_SIZE)
    if type(batch_size) is not int or not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise InvalidRequest(f"input field 'batch_size' must be a whole number from 1 to {MAX_BATCH_SIZE}")
    start_at, stop_after = _stages(document)
    return PipelineRequest(
        source=source,
        batch_size=batch_size,
        models=_models(document),
        start_at=start_at,
        stop_after=stop_after,
        site=_site(document),
        taken_on=_taken_on(document),
        by=_line(document, "by", LONGEST_NAME, "a name", "who starts the run"),
        force=_force(document),
        started_by=_choice(document, "started_by", STARTERS, "person"),
        reason=_line(document, "reason", LONGEST_REASON, "a text", "why the run is started"),
        event=_line(document, "event", LONGEST_NAME, "an id", "that of the event that starts the run"),
        data_kind=_optional_choice(document, "data_kind", _DATA_KINDS),
        diag_version=_optional_choice(document, "diag_version", VERSIONS),
        mapping=_mapping(document),
    )


def _stages(document: Mapping[str, Any]) -> tuple[Stage, Stage]:
    start_at: Stage = _choice(document, "start_at", STAGES, "ingest")
    stop_after: Stage = _choice(document, "stop_after", STAGES, "promote")
    if STAGES.index(stop_after) < STAGES.index(start_at):
        raise InvalidRequest(f"input field 'stop_after': {stop_after!r} comes before 'start_at' {start_at!r}")
    if start_at != "ingest" and (named := [name for name in OF_DELIVERY if name in document]):
        raise InvalidRequest(
            f"input field {named[0]!r} describes a delivery, but a run that starts at {start_at!r} brings none"
        )
    return start_at, stop_after


def _line(document: Mapping[str, Any], name: str, longest: int, what: str, meaning: str) -> str | None:
    text = document.get(name)
    if text is not None and not (isinstance(text, str) and 1 <= len(text.strip()) <= longest and "\0" not in text):
        raise InvalidRequest(f"input field {name!r} must be {what} of 1 to {longest} characters: {meaning}")
    return text.strip() if text else None


def _force(document: Mapping[str, Any]) -> bool:
    force = document.get("force", False)
    if not isinstance(force, bool):
        raise InvalidRequest("input field 'force' must be true or false")
    return force


def _site(document: Mapping[str, Any]) -> str:
    site = document.get("site", DEFAULT_SITE)
    if not isinstance(site, str) or not _SITE.allows(site):
        raise InvalidRequest(
            "input field 'site' must have 1 to 40 lower-case letters, digits, hyphens and underscores, and begin with a"
            " letter or digit"
        )
    return site


def _optional_choice[T: str](document: Mapping[str, Any], name: str, allowed: tuple[T, ...]) -> T | None:
    return _choice(document, name, allowed, allowed[0]) if name in document else None


def _mapping(document: Mapping[str, Any]) -> str | None:
    address = document.get("mapping")
    if address is None:
        return None
    scheme, _, rest = address.partition("://") if isinstance(address, str) else ("", "", "")
    if scheme != "s3" or not all(rest.partition("/")):
        raise InvalidRequest("input field 'mapping' must be the s3://bucket/key of a mapping file")
    return str(address)


def _taken_on(document: Mapping[str, Any]) -> date | None:
    text = document.get("taken_on")
    if text is None:
        return None
    if not isinstance(text, str) or (day := parse_date(text)) is None:
        raise InvalidRequest("input field 'taken_on' must be a date in the form YYYY-MM-DD")
    return day


def _choice[T: str](document: Mapping[str, Any], name: str, allowed: tuple[T, ...], default: T) -> T:
    value = document.get(name, default)
    for option in allowed:
        if value == option:
            return option
    raise InvalidRequest(f"input field {name!r} must be one of {', '.join(allowed)}")


def _models(document: Mapping[str, Any]) -> tuple[Family, ...]:
    models = document.get("models", list(FAMILIES))
    if not isinstance(models, list) or not models or any(model not in FAMILIES for model in models):
        raise InvalidRequest(f"input field 'models' must be a list of one or more of {', '.join(FAMILIES)}")
    return tuple(family for family in FAMILIES if family in models)
