"""Every error the system raises on purpose.

Step Functions sees an exception's class name as the error name, so these names are the contract of `Retry` and
`Catch` in `statemachines/pipeline.asl.json`: errors under `Transient` may pass and are retried, all others are not.
"""


class ReadmissionError(Exception):
    """Base of all; its message says what happened and what to do about it."""


class Transient(ReadmissionError):
    """Base of errors that may be gone a moment later. Never raised itself: `Retry` names its subclasses."""


class SourceUnavailable(Transient):
    """The data source did not answer, or broke off."""


class DatabaseUnavailable(Transient):
    """Postgres refused or dropped the connection, or rolled back for a deadlock."""


class TrackingUnavailable(Transient):
    """The MLflow server did not answer."""


class InvalidRequest(ReadmissionError):
    """The execution's input has a field that cannot be used; the message names it."""


class SourceNotFound(ReadmissionError):
    """The data source says that there is nothing under that address."""


class SourceMalformed(ReadmissionError):
    """The data source was read, but holds no readable table: a broken zip, no CSV, an undecodable byte."""


class ColumnsMismatch(ReadmissionError):
    """The table's columns are not the contract's; the message names the missing and the extra ones."""


class RowMalformed(ReadmissionError):
    """A row has another number of fields than the table has columns, or a NUL character; the message names the row."""


class ValueOutOfRange(ReadmissionError):
    """A numeric field is no whole number or outside its range; the message names row, column and value."""


class CleanRowInvalid(ReadmissionError):
    """A row that was made for the clean table breaks the clean rows' schema: a bug, not bad data."""


class TooManyInvalidRows(ReadmissionError):
    """More of a run's rows are in quarantine than may be; the message tells the share and the most frequent rules."""


class BatchMissing(ReadmissionError):
    """A manifest or batch that this run should have written is not in S3, or the report of one not in Postgres."""


class SplitsOverlap(ReadmissionError):
    """A patient is in two splits: the figures of a model would be too good."""


class NoTrainingData(ReadmissionError):
    """The clean table lacks rows, or a class, in a split that training needs."""


class NoCandidates(ReadmissionError):
    """No finished training run is there to promote."""


class EvaluationMissing(ReadmissionError):
    """A training run has no evaluation to report: it was made by an earlier release."""


class ConfigurationError(ReadmissionError):
    """An environment variable is missing or cannot be read; the message names it."""


class ModelUnavailable(ReadmissionError):
    """No model can be served now; the message says why."""


class ScorerInvalid(ReadmissionError):
    """A scorer document is not one this version can evaluate, or its hash is not the registered one."""


class ExplanationUnavailable(ReadmissionError):
    """The model that serves cannot be explained: an earlier release has trained it."""


class MetricsUnavailable(ReadmissionError):
    """CloudWatch refused, did not answer, or answered in part; the message says which of its operations and why."""


class TokenUnavailable(ReadmissionError):
    """The bearer token that guards the metrics cannot be read from Secrets Manager."""
