"""All errors that the system raises on purpose.

Step Functions reports an exception's class name as the error name, and `Retry` in `statemachines/pipeline.asl.yaml`
lists these names: subclasses of `Transient` are retried, other errors are not.
"""


class ReadmissionError(Exception):
    """Base class of all errors. The message says what happened and, where possible, what to do about it."""


class Transient(ReadmissionError):
    """Base class of errors that a retry may resolve. Not raised itself, because `Retry` lists the subclasses."""


class SourceUnavailable(Transient):
    """The data source did not respond, or the transfer was interrupted."""


class DatabaseUnavailable(Transient):
    """Postgres refused or dropped the connection, or rolled back because of a deadlock."""


class StorageUnavailable(Transient):
    """S3 did not respond or failed."""


class TrackingUnavailable(Transient):
    """The MLflow server did not respond."""


class InvalidRequest(ReadmissionError):
    """The execution's input has an invalid field; the message names it."""


class SourceNotFound(ReadmissionError):
    """The data source does not exist or may not be read."""


class SourceMalformed(ReadmissionError):
    """The data source does not contain a readable table: a corrupt archive, no CSV file, text that is not UTF-8."""


class SourceLimitExceeded(ReadmissionError):
    """The data source is larger, or takes longer to download, than the parameters allow."""


class MappingInvalid(ReadmissionError):
    """The mapping of a source breaks its schema; the message names the line and the key."""


class ColumnsMismatch(ReadmissionError):
    """The table's columns are not those of the contract; the message names the missing and the extra ones."""


class RowMalformed(ReadmissionError):
    """A row has too few or too many fields, is too long, or contains a NUL character; the message names the row."""


class ValueOutOfRange(ReadmissionError):
    """A numeric field is not a whole number in its range; the message names row, column and value."""


class CleanRowInvalid(ReadmissionError):
    """A row derived for the clean table is invalid: a bug, not bad data."""


class TooManyInvalidRows(ReadmissionError):
    """Too many of a run's rows are in quarantine; the message has their share and the rules broken most often."""


class RowsMissing(ReadmissionError):
    """Fewer or more rows of a batch were cleaned than were delivered; the message names the delivery and the batch."""


class DeliveryWithdrawn(ReadmissionError):
    """The delivery was withdrawn while its run was going on, so nothing may be learned from it."""


class LoadingInProgress(ReadmissionError):
    """A patient's data cannot be erased while a run plans, loads or cleans rows."""


class BatchMissing(ReadmissionError):
    """A manifest or batch of the run is missing in S3, or the report on a batch is missing in Postgres."""


class SplitsOverlap(ReadmissionError):
    """A patient is in two splits, which would make a model look better than it is."""


class NoTrainingData(ReadmissionError):
    """A split that training needs has no rows in the clean table, or lacks a class."""


class TrainingJobNotStarted(ReadmissionError):
    """SageMaker did not start a training job: it refuses the request, or has had no capacity at any attempt."""


class TrainingJobFailed(ReadmissionError):
    """A training job failed, and did not name an error of its own; the message has SageMaker's reason."""


class TrainingJobStopped(ReadmissionError):
    """Somebody stopped a training job."""


class TrainingRunMissing(ReadmissionError):
    """A training job ended well, but MLflow has no finished run of it."""


class WorkerLost(ReadmissionError):
    """A process of a distributed training ended before the training did, or never came; the message names it."""


class RebuildImpossible(ReadmissionError):
    """A version's training rows or its recipe cannot be had again; the message says what is missing."""


class PatientsErased(RebuildImpossible):
    """Patients that a version learned from were erased, so that it cannot be trained again exactly."""


class NoCandidates(ReadmissionError):
    """There is no finished training run to promote."""


class RollbackRefused(ReadmissionError):
    """Base class of the refusals of a rollback. Not raised itself: the name of the subclass says what is in the way."""


class NothingToRollBack(RollbackRefused):
    """No version has been in production, or none before the current one."""


class AlreadyInProduction(RollbackRefused):
    """The version to roll back to is in production already."""


class VersionNotFound(RollbackRefused):
    """The registry does not have the version to roll back to; the message lists those that can be chosen."""


class VersionUnusable(RollbackRefused):
    """The version to roll back to has no scorer that this release can evaluate."""


class RollbackNeedsForce(RollbackRefused):
    """The version never served, or would put synthetic data in place of real; the message says which."""


class ChallengeRefused(ReadmissionError):
    """Base class of what is in the way of a person's decision on a challenger. Not raised itself."""


class NoChallenger(ChallengeRefused):
    """No version is tried on live requests, so that none can be withdrawn."""


class ChallengesOff(ChallengeRefused):
    """Versions are not tried on live requests, by the parameter ShadowRequests."""


class NoIncumbent(ChallengeRefused):
    """No version is in production, so that none can be compared with it."""


class ChallengeNeedsForce(ChallengeRefused):
    """The version was withdrawn or refused before, or learned from another kind of data; the message says which."""


class StepTimedOut(ReadmissionError):
    """A step did not end within its time limit. The state machine itself fails with this name."""


class StepFailed(ReadmissionError):
    """Step Functions could not run a step; the cause has its reason. The state machine itself fails with this name."""


class EvaluationMissing(ReadmissionError):
    """A training run has no evaluation, because an earlier release made it."""


class ConfigurationError(ReadmissionError):
    """An environment variable is missing or invalid; the message names it."""


class ModelUnavailable(ReadmissionError):
    """No model can be served at the moment; the message says why."""


class ScorerInvalid(ReadmissionError):
    """This release cannot evaluate the scorer document, or its hash differs from the registered one."""


class ExplanationUnavailable(ReadmissionError):
    """The served model cannot be explained, because an earlier release trained it."""


class MetricsUnavailable(ReadmissionError):
    """A CloudWatch call failed or returned partial data; the message names the operation and the reason."""


class TokenUnavailable(ReadmissionError):
    """The bearer token of the metrics endpoint cannot be read from Secrets Manager."""


class TokenInvalid(ReadmissionError):
    """The bearer token is missing, expired, not yet valid, for somebody else, or not signed by the issuer."""


class ApiKeyInvalid(ReadmissionError):
    """The API key is missing or wrong."""


class ScopeMissing(ReadmissionError):
    """The bearer token is valid, but lacks the scope that the request needs; the message names it."""


class IdentityUnavailable(ReadmissionError):
    """The issuer's keys, or the API keys, cannot be read, so that nobody can be let in."""


class PatientKeyUnavailable(ReadmissionError):
    """The secret with the key of the patients' hashes cannot be read."""


class PredictionNotLogged(ReadmissionError):
    """The queue, or the bucket, of the prediction log did not take a message."""


class MessageInvalid(ReadmissionError):
    """A message of the prediction log's queue that no repetition makes readable; the text names the field."""


class AuditUnavailable(ReadmissionError):
    """The audit log cannot be written, so that nothing that it has to record may be answered."""


class EventNotSent(ReadmissionError):
    """EventBridge did not take an event."""


class NotMigrated(ReadmissionError):
    """The database lacks a table or a column of this release: no run has migrated it since the deployment."""


class JobsUnavailable(ReadmissionError):
    """Step Functions did not answer, or refused, so that no scoring job can be started or followed."""
