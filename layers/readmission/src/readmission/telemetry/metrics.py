"""The table of all metrics. The functions write them, the exporter reads them and the documentation lists them by it.

All are in one CloudWatch namespace and have the dimension `service`, which is the function. Units are base units:
counts and seconds. The values of dimensions are listed here, except that every promotion adds a `model_version`. No
metric contains patient data.
"""

import re
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
OTHER: Final = "other"  # stands for every value that the table does not list

REQUESTS: Final = "Requests"
REQUEST_DURATION: Final = "RequestDuration"
VALIDATION_ERRORS: Final = "ValidationErrors"
PREDICTIONS: Final = "Predictions"
SCORER_DURATION: Final = "ScorerDuration"
HISTORY_LOOKUPS: Final = "HistoryLookups"
PREDICTIONS_NOT_LOGGED: Final = "PredictionsNotLogged"
PREDICTIONS_RECORDED: Final = "PredictionsRecorded"
PREDICTIONS_REPEATED: Final = "PredictionsRepeated"
PREDICTION_MESSAGES_REFUSED: Final = "PredictionMessagesRefused"
PREDICTIONS_DELETED: Final = "PredictionsDeleted"
OUTCOMES_REPORTED: Final = "OutcomesReported"
CHALLENGERS_STOPPED: Final = "ChallengersStopped"
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
ROWS_SCORED: Final = "RowsScored"
ROWS_REFUSED: Final = "RowsRefused"
TRAINING_DURATION: Final = "TrainingDuration"
PROMOTION_DECISIONS: Final = "PromotionDecisions"
MODEL_TEST_SCORE: Final = "ModelTestScore"
PLOTS_WRITTEN: Final = "PlotsWritten"
CARDS_WRITTEN: Final = "CardsWritten"
MONITORED_QUALITY: Final = "MonitoredQuality"
MONITORED_DRIFT: Final = "MonitoredDrift"
MONITOR_ALERTS: Final = "MonitorAlerts"

# How a metric is read from CloudWatch. counter: Sum. summary: Sum and SampleCount. histogram: both, and a second
# metric, `…Bucket`, that counts the observations up to each bound `le` and above the previous one. gauge: Maximum of
# the newest day.
type Kind = Literal["counter", "summary", "histogram", "gauge"]
type Unit = Literal["Count", "Seconds", "None"]

STEP_FUNCTIONS: Final = ("plan", "ingest", "clean", "check", "train", "promote", "report", "monitor", "score")
API_FUNCTIONS: Final = ("predict", "history", "outcomes", "jobs", "metrics")
LOG_FUNCTIONS: Final = ("record",)
GUARD_FUNCTIONS: Final = ("guard",)
# Not loaded, no probabilities, too slow, and any other error.
CHALLENGER_FAULTS: Final = ("ScorerInvalid", "NotProbabilities", "Slow", "Error")
OUTCOMES: Final = ("succeeded", "failed")
ROUTES: Final = (
    "/predict",
    "/predict/batch",
    "/predict/fhir",
    "/cds-services",
    "/cds-services/readmission-at-discharge",
    "/cds-services/readmission-at-discharge/feedback",
    "/feedback",
    "/model",
    "/model/history",
    "/outcomes",
    "/monitor",
    "/jobs",
    "/jobs/{id}",
    "/health",
    "/reload-model",
    "/docs",
    "/openapi.json",
    "/metrics",
    OTHER,
)
STATUSES: Final = ("200", "202", "401", "403", "404", "405", "409", "413", "415", "422", "500", "503")
# What these functions serve; all others go to *predict*.
_ROUTES_OF: Final = {
    "history": ("/model/history", "/monitor"),
    "outcomes": ("/outcomes",),
    "jobs": ("/jobs", "/jobs/{id}"),
    "metrics": ("/metrics",),
}
# Scores on the test rows, by the names of a training run's metrics.
SCORES: Final = (
    "auc_early",
    "auc_any",
    "auc_macro_ovr",
    "log_loss",
    "brier_early",
    "early_calibration_slope",
    "early_ece",
)
# Of the monitor, by the names in its document.
MONITORED: Final = ("auc_early", "log_loss", "calibration_error_early", "top_decile_precision")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, the functions (`services`) that write it, and its dimensions in addition to `service`.

    A dimension with an empty tuple may have any value. `buckets` are the upper bounds of a histogram, in seconds,
    without `+Inf`.
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
        API_FUNCTIONS,
        "requests answered by a function",
        _API_ROUTE | {"status": STATUSES},
    ),
    Metric(
        REQUEST_DURATION,
        "histogram",
        "Seconds",
        API_FUNCTIONS,
        "duration of a request in the handler, from event to answer",
        _API_ROUTE,
        REQUEST_BUCKETS,
    ),
    Metric(
        VALIDATION_ERRORS,
        "counter",
        "Count",
        ("predict",),
        "requests, and rows of batches, that failed validation",
        {"route": ("/predict", "/predict/batch")},
    ),
    Metric(
        PREDICTIONS,
        "counter",
        "Count",
        ("predict",),
        "forecasts, by model version and most probable class",
        {"model_version": (), "readmitted": CLASSES},
    ),
    Metric(
        SCORER_DURATION,
        "histogram",
        "Seconds",
        ("predict",),
        "duration of scoring one encounter, in a request to /predict",
        {},
        SCORER_BUCKETS,
    ),
    Metric(
        HISTORY_LOOKUPS,
        "counter",
        "Count",
        ("predict",),
        "look-ups of a patient's earlier stays, by outcome",
        {"outcome": ("found", "not_found", "unavailable")},
    ),
    Metric(
        PREDICTIONS_NOT_LOGGED,
        "counter",
        "Count",
        ("predict",),
        "forecasts that were answered and did not get into the prediction log; late ones may have",
        {"reason": ("failed", "late", "paused")},
    ),
    Metric(PREDICTIONS_RECORDED, "counter", "Count", LOG_FUNCTIONS, "forecasts written to the prediction log"),
    Metric(
        PREDICTIONS_REPEATED,
        "counter",
        "Count",
        LOG_FUNCTIONS,
        "forecasts that were delivered and not written: the log has them, or the patient was erased since",
    ),
    Metric(
        PREDICTION_MESSAGES_REFUSED,
        "counter",
        "Count",
        LOG_FUNCTIONS,
        "deliveries of messages that no repetition makes readable",
    ),
    Metric(PREDICTIONS_DELETED, "counter", "Count", LOG_FUNCTIONS, "forecasts deleted from the prediction log by age"),
    Metric(
        OUTCOMES_REPORTED,
        "counter",
        "Count",
        ("outcomes",),
        "outcomes reported, by what became of them",
        {"result": ("stored", "repeated", "refused")},
    ),
    Metric(
        CHALLENGERS_STOPPED,
        "counter",
        "Count",
        ("predict",),
        "processes that stopped asking the challenger, by why",
        {"reason": CHALLENGER_FAULTS},
    ),
    Metric(
        MODEL_RELOADS,
        "counter",
        "Count",
        ("predict",),
        "polls of the model registry that loaded another version or failed",
        {"outcome": ("loaded", "failed")},
    ),
    Metric(
        MODEL_PROMOTED_TIMESTAMP,
        "gauge",
        "Seconds",
        ("predict",),
        "Unix time when the served version was promoted; its age is time() minus this",
    ),
    Metric(
        COLD_STARTS,
        "counter",
        "Count",
        (*STEP_FUNCTIONS, *API_FUNCTIONS, *LOG_FUNCTIONS, *GUARD_FUNCTIONS),
        "cold starts: execution environments that handled their first invocation",
        {"function_name": ()},
    ),
    Metric(
        STEP_RUNS,
        "counter",
        "Count",
        STEP_FUNCTIONS,
        "runs of a pipeline step, by outcome; a retry is another run",
        {"outcome": OUTCOMES},
    ),
    Metric(
        STEP_DURATION,
        "summary",
        "Seconds",
        STEP_FUNCTIONS,
        "duration of a run of a pipeline step; ingest and clean run once per batch",
    ),
    Metric(ROWS_PLANNED, "counter", "Count", ("plan",), "rows split into batches"),
    Metric(BATCHES_PLANNED, "counter", "Count", ("plan",), "batches created"),
    Metric(ROWS_READ, "counter", "Count", ("ingest",), "rows read from batches"),
    Metric(ROWS_ADDED, "counter", "Count", ("ingest",), "rows added to the raw table"),
    Metric(ROWS_CLEANED, "counter", "Count", ("clean",), "rows written to the clean table"),
    Metric(ROWS_QUARANTINED, "counter", "Count", ("clean",), "rows quarantined because they violate the data contract"),
    Metric(ROWS_CHECKED, "counter", "Count", ("check",), "rows covered by the check of the share of invalid rows"),
    Metric(ROWS_SCORED, "counter", "Count", ("score",), "rows of scoring jobs that have a forecast"),
    Metric(ROWS_REFUSED, "counter", "Count", ("score",), "rows of scoring jobs that were refused"),
    Metric(
        TRAINING_DURATION,
        "summary",
        "Seconds",
        ("train",),
        "duration of a successful training: fit, evaluation and logging",
        {"model": FAMILIES},
    ),
    Metric(
        PROMOTION_DECISIONS,
        "counter",
        "Count",
        ("promote", *GUARD_FUNCTIONS),
        "promotion decisions",
        {"decision": ("promoted", "refused", "rolled_back", "shadowed", "canaried", "withdrawn")},
    ),
    Metric(
        MODEL_TEST_SCORE,
        "gauge",
        "None",
        ("promote", *GUARD_FUNCTIONS),
        "score of the version in production on the test rows, written at every decision",
        {"model_version": (), "metric": SCORES},
    ),
    Metric(PLOTS_WRITTEN, "counter", "Count", ("report",), "plots of training runs"),
    Metric(CARDS_WRITTEN, "counter", "Count", ("report",), "model cards"),
    Metric(
        MONITORED_QUALITY,
        "gauge",
        "None",
        ("monitor",),
        "quality of the newest forecasts: realised by their labels, or estimated without",
        {"basis": ("realised", "estimated"), "metric": MONITORED},
    ),
    Metric(
        MONITORED_DRIFT,
        "gauge",
        "None",
        ("monitor",),
        "largest population stability index of the newest rows against the training reference",
        {"of": ("inputs", "forecasts")},
    ),
    Metric(MONITOR_ALERTS, "gauge", "None", ("monitor",), "alerts of the monitor about the newest rows"),
)

BY_NAME: Final = {metric.name: metric for metric in METRICS}


def bucket_of(name: str) -> str:
    """The name of the metric that counts the observations of a histogram by `le`."""
    return f"{name}Bucket"


def le_text(bound: float) -> str:
    """The value of the dimension `le` for an upper bound: a plain decimal such as 0.000025 or 1, or `+Inf`."""
    return "+Inf" if bound == inf else f"{bound:f}".rstrip("0").rstrip(".")


def bucket_for(metric: Metric, value: float) -> str:
    """The `le` of the bucket that counts `value`: the smallest bound that is not less."""
    index = bisect_left(metric.buckets, value)
    return le_text(metric.buckets[index] if index < len(metric.buckets) else inf)


def prometheus_name(metric: Metric) -> str:
    """The name of the Prometheus metric family, for example `readmission_request_duration_seconds`.

    Prometheus' own suffixes (`_total`, `_sum`, `_count`, `_bucket`) are not part of it.
    """
    snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", metric.name).lower()
    return f"{NAMESPACE.lower()}_{snake_case}{'_seconds' if metric.unit == 'Seconds' else ''}"


def listed_values(metric: Metric, dimension: str, service: str) -> tuple[str, ...]:
    """The values that the table lists for a dimension of a service's metric; none for one that may have any value."""
    values = metric.dimensions[dimension]
    if values is not ROUTES:
        return values
    elsewhere = {route for routes in _ROUTES_OF.values() for route in routes}
    return _ROUTES_OF.get(service) or tuple(route for route in ROUTES if route not in elsewhere)


class Meter(Protocol):
    """Writes the metrics of one service. Names and dimensions are those of `METRICS`."""

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Add a duration to a summary or a histogram."""

    def set(self, name: str, value: float, **dimensions: str) -> None:
        """Set a gauge."""


class NullMeter:
    """Discards metrics."""

    def count(self, name: str, value: float = 1, **dimensions: str) -> None: ...

    def observe(self, name: str, seconds: float, **dimensions: str) -> None: ...

    def set(self, name: str, value: float, **dimensions: str) -> None: ...
