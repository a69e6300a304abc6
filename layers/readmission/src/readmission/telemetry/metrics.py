"""Every metric of the functions: the table that they write by, the exporter reads by and the README tells.

All are in one CloudWatch namespace and have the dimension `service`, the function. Units are base units: counts, and
seconds. Dimensions have the few values named here; only `model_version` grows, by one a promotion. None holds anything
of a patient.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal, Protocol

from readmission.domain.contract import CLASSES
from readmission.domain.payloads import FAMILIES

NAMESPACE: Final = "Readmission"
SERVICE: Final = "service"
LE: Final = "le"

REQUESTS: Final = "Requests"
REQUEST_DURATION: Final = "RequestDuration"
VALIDATION_ERRORS: Final = "ValidationErrors"
PREDICTIONS: Final = "Predictions"
SCORER_DURATION: Final = "ScorerDuration"
MODEL_RELOADS: Final = "ModelReloads"
MODEL_PROMOTED_TIMESTAMP: Final = "ModelPromotedTimestamp"
COLD_STARTS: Final = "ColdStart"  # as Powertools names it
STEP_RUNS: Final = "StepRuns"
STEP_DURATION: Final = "StepDuration"
ROWS_PLANNED: Final = "RowsPlanned"
BATCHES_PLANNED: Final = "BatchesPlanned"
ROWS_READ: Final = "RowsRead"
ROWS_ADDED: Final = "RowsAdded"
ROWS_CLEANED: Final = "RowsCleaned"
ROWS_QUARANTINED: Final = "RowsQuarantined"
ROWS_CHECKED: Final = "RowsChecked"
TRAINING_DURATION: Final = "TrainingDuration"
PROMOTION_DECISIONS: Final = "PromotionDecisions"
MODEL_TEST_SCORE: Final = "ModelTestScore"
PLOTS_WRITTEN: Final = "PlotsWritten"
CARDS_WRITTEN: Final = "CardsWritten"

# counter: CloudWatch's Sum. summary: Sum and SampleCount. histogram: these, and a second metric `…Bucket` that counts
# the observations up to each `le` and above the one before. gauge: the newest day's Maximum.
type Kind = Literal["counter", "summary", "histogram", "gauge"]
type Unit = Literal["Count", "Seconds", "None"]

STEPS: Final = ("plan", "ingest", "clean", "check", "train", "promote", "report")
APIS: Final = ("predict", "history", "metrics")
OUTCOMES: Final = ("succeeded", "failed")
ROUTES: Final = (
    "/predict",
    "/predict/batch",
    "/model",
    "/model/history",
    "/health",
    "/reload-model",
    "/docs",
    "/openapi.json",
    "/metrics",
    "other",
)
STATUSES: Final = ("200", "401", "404", "405", "409", "413", "415", "422", "500", "503")
# Of the test rows; the names are those of a training run's metrics.
SCORES: Final = (
    "auc_early",
    "auc_any",
    "auc_macro_ovr",
    "log_loss",
    "brier_early",
    "early_calibration_slope",
    "early_ece",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: which functions write it, and with which dimensions beside `service`.

    A dimension without values here (an empty tuple) has whatever is found. `buckets` are a histogram's upper bounds, in
    seconds; `+Inf` is one more.
    """

    name: str
    kind: Kind
    unit: Unit
    services: tuple[str, ...]
    help: str
    dimensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SCORER_BUCKETS: Final = (0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01)

_API_ROUTE: Final = {"route": ROUTES}

METRICS: Final = (
    Metric(
        REQUESTS,
        "counter",
        "Count",
        APIS,
        "requests that a function answered",
        _API_ROUTE | {"status": STATUSES},
    ),
    Metric(
        REQUEST_DURATION,
        "histogram",
        "Seconds",
        APIS,
        "time in the handler, from the event to the answer",
        _API_ROUTE,
        REQUEST_BUCKETS,
    ),
    Metric(
        VALIDATION_ERRORS,
        "counter",
        "Count",
        ("predict",),
        "requests, and rows of batches, that were refused for what they hold",
        {"route": ("/predict", "/predict/batch")},
    ),
    Metric(
        PREDICTIONS,
        "counter",
        "Count",
        ("predict",),
        "forecasts, by the version that gave them and the class with the highest probability",
        {"model_version": (), "readmitted": CLASSES},
    ),
    Metric(
        SCORER_DURATION,
        "histogram",
        "Seconds",
        ("predict",),
        "time from an encounter's fields to its forecast, in a request to /predict",
        {},
        SCORER_BUCKETS,
    ),
    Metric(
        MODEL_RELOADS,
        "counter",
        "Count",
        ("predict",),
        "looks at the registry that loaded another version, or failed",
        {"outcome": ("loaded", "failed")},
    ),
    Metric(
        MODEL_PROMOTED_TIMESTAMP,
        "gauge",
        "Seconds",
        ("predict",),
        "when the version that serves was put into Production, Unix time; its age is time() less this",
    ),
    Metric(
        COLD_STARTS,
        "counter",
        "Count",
        (*STEPS, *APIS),
        "execution environments that answered their first invocation",
        {"function_name": ()},
    ),
    Metric(
        STEP_RUNS,
        "counter",
        "Count",
        STEPS,
        "runs of a step of the pipeline by outcome, one for each try",
        {"outcome": OUTCOMES},
    ),
    Metric(STEP_DURATION, "summary", "Seconds", STEPS, "time of a step's run: of ingest and clean, of one batch"),
    Metric(ROWS_PLANNED, "counter", "Count", ("plan",), "rows cut into batches"),
    Metric(BATCHES_PLANNED, "counter", "Count", ("plan",), "batches cut"),
    Metric(ROWS_READ, "counter", "Count", ("ingest",), "rows of batches read"),
    Metric(ROWS_ADDED, "counter", "Count", ("ingest",), "rows that were new to the raw table"),
    Metric(ROWS_CLEANED, "counter", "Count", ("clean",), "rows written to the clean table"),
    Metric(ROWS_QUARANTINED, "counter", "Count", ("clean",), "rows that break the data contract"),
    Metric(ROWS_CHECKED, "counter", "Count", ("check",), "rows whose share of invalid ones was checked"),
    Metric(
        TRAINING_DURATION,
        "summary",
        "Seconds",
        ("train",),
        "time of a training that succeeded: fit, evaluation and logging",
        {"model": FAMILIES},
    ),
    Metric(
        PROMOTION_DECISIONS,
        "counter",
        "Count",
        ("promote",),
        "decisions on what serves",
        {"decision": ("promoted", "refused", "rolled_back")},
    ),
    Metric(
        MODEL_TEST_SCORE,
        "gauge",
        "None",
        ("promote",),
        "what the version in Production scored on the test rows, written at each decision",
        {"model_version": (), "metric": SCORES},
    ),
    Metric(PLOTS_WRITTEN, "counter", "Count", ("report",), "plots of trainings"),
    Metric(CARDS_WRITTEN, "counter", "Count", ("report",), "model cards"),
)

BY_NAME: Final = {metric.name: metric for metric in METRICS}


def bucket_of(name: str) -> str:
    """The metric that counts a histogram's observations by `le`."""
    return f"{name}Bucket"


def le_text(bound: float) -> str:
    """A bucket's upper bound as its dimension has it: a plain decimal, as 0.000025 or 1; `+Inf` for inf."""
    return "+Inf" if bound == inf else f"{bound:f}".rstrip("0").rstrip(".")


def bucket_for(metric: Metric, value: float) -> str:
    """The one bucket that counts `value`: the smallest whose bound it does not exceed."""
    index = bisect_left(metric.buckets, value)
    return le_text(metric.buckets[index] if index < len(metric.buckets) else inf)


class Meter(Protocol):
    """What writes the metrics of one service. Names and dimensions are those of `METRICS`."""

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Note a duration in a summary or a histogram."""

    def set(self, name: str, value: float, **dimensions: str) -> None:
        """Tell a gauge's value."""


class NullMeter:
    """Discards metrics."""

    def count(self, name: str, value: float = 1, **dimensions: str) -> None: ...

    def observe(self, name: str, seconds: float, **dimensions: str) -> None: ...

    def set(self, name: str, value: float, **dimensions: str) -> None: ...
