"""The only module that reads environment variables: one settings object for each Lambda function.

`from_environment` raises `ConfigurationError`, with the variable's name, for a missing or invalid value.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self, cast
from urllib.parse import urlsplit

from readmission.errors import ConfigurationError

type Environment = Mapping[str, str]
type Tls = Literal["disable", "require", "verify-full"]
type Training = Literal["lambda", "container", "distributed"]

# A scorer takes a tenth of a millisecond: one that takes so long would be felt in every answer.
_CHALLENGER_SECONDS: Final = 0.05
_MAX_TRAINING_ROWS: Final = 300_000
# Lambda ends a function after 15 minutes.
_LONGEST_TRAINING: Final = 900
_RETRAIN_PAUSE_HOURS: Final = 24
_LARGEST_CANARY: Final = 0.5  # of the patients: more would make it the version that serves
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_KEY_LENGTH: Final = 32
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
# The URL of the key set begins after the first = that an http or https URL follows.
_EHR: Final = re.compile(r"(?P<issuer>[^\s,]+?)=(?P<keys>https?://[^\s,]+)")


# ---------------------------------------------------------------- shared parts
@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The secret that holds the database credentials, how connections are encrypted, and the server's address.

    Without a `host`, the secret holds the address too.
    """

    secret: str
    tls: Tls
    host: str = ""
    port: int = 5432

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        tls = environment.get("DATABASE_TLS", "require")
        if tls not in ("disable", "require", "verify-full"):
            raise _invalid("DATABASE_TLS", tls, "must be disable, require or verify-full")
        return cls(
            secret=_required(environment, "DATABASE_SECRET"),
            tls=cast(Tls, tls),
            host=environment.get("DATABASE_HOST", ""),
            port=_port(environment, "DATABASE_PORT", 5432),
        )

    @classmethod
    def of_owner(cls, environment: Environment = os.environ) -> Self:
        """The login that may change the schema: the secret DATABASE_OWNER_SECRET or, without it, the same as others."""
        secret = environment.get("DATABASE_OWNER_SECRET") or _required(environment, "DATABASE_SECRET")
        return cls.from_environment({**environment, "DATABASE_SECRET": secret})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The MLflow server, the name of the experiment and registered model, and how many encounters training uses.

    `secret` names the secret with the server's `username` and `password`; empty for a server without authentication.
    Training and comparison use the newest encounters: time and memory grow with the number of rows, and the default
    fits a function of 3 GB and 15 minutes. `longest_training` is how many seconds a training can take.
    """

    tracking_uri: str
    name: str
    max_training_rows: int = _MAX_TRAINING_ROWS
    secret: str = ""
    longest_training: int = _LONGEST_TRAINING

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        uri = _required(environment, "MLFLOW_TRACKING_URI")
        if not uri.startswith(("http://", "https://")):
            raise _invalid("MLFLOW_TRACKING_URI", uri, "must be an http or https URL")
        max_training_rows = _count(environment, "MAX_TRAINING_ROWS", _MAX_TRAINING_ROWS)
        return cls(
            tracking_uri=uri.rstrip("/"),
            name=_required(environment, "MODEL_NAME"),
            max_training_rows=max_training_rows,
            secret=environment.get("MLFLOW_SECRET", ""),
            longest_training=_count(environment, "TRAINING_JOB_SECONDS", _LONGEST_TRAINING),
        )


@dataclass(frozen=True, slots=True)
class ExporterSettings:
    """The stack whose metrics are exported, and how long (seconds) an answer may be cached.

    Without `state_machine_arn`, Step Functions metrics are left out.
    """

    stack_name: str
    state_machine_arn: str
    cache_seconds: float

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            stack_name=_required(environment, "STACK_NAME"),
            state_machine_arn=environment.get("STATE_MACHINE_ARN", ""),
            cache_seconds=_seconds(environment, "METRICS_CACHE_SECONDS", 15),
        )


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """The OpenID Connect issuer whose tokens are accepted, and the audience that they must be for.

    `scope_prefix` precedes the names of our scopes in a token, such as `readmission/` in `readmission/predict`.
    """

    issuer: str
    audience: str
    scope_prefix: str = ""

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None without OIDC_ISSUER: then no request needs a token."""
        issuer = environment.get("OIDC_ISSUER", "")
        if not issuer:
            if environment.get("OIDC_AUDIENCE"):
                raise ConfigurationError("the environment variable OIDC_AUDIENCE is set, but OIDC_ISSUER is not")
            return None
        if not is_protected(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise _invalid("OIDC_ISSUER", issuer, "must be an https URL without a query (http: on this machine only)")
        return cls(
            issuer=issuer,
            audience=_required(environment, "OIDC_AUDIENCE"),
            scope_prefix=environment.get("OIDC_SCOPE_PREFIX", ""),
        )


@dataclass(frozen=True, slots=True)
class Ehr:
    """An EHR that is trusted: its tokens' `iss`, and the URL of the key set (JWKS) that verifies them."""

    issuer: str
    keys_url: str


@dataclass(frozen=True, slots=True)
class EhrTrustSettings:
    """The EHRs whose tokens open the paths of CDS Hooks, and the URL below which an EHR finds these (no final slash).

    A token's `aud` is `base_url` and the path that is called.
    """

    ehrs: tuple[Ehr, ...]
    base_url: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None without EHR_ISSUERS: then the paths of CDS Hooks are as all others."""
        ehrs = tuple(_ehr(part.strip()) for part in environment.get("EHR_ISSUERS", "").split(",") if part.strip())
        if not ehrs:
            return None
        issuers = [ehr.issuer for ehr in ehrs]
        if twice := next((issuer for issuer in issuers if issuers.count(issuer) > 1), None):
            raise _invalid("EHR_ISSUERS", twice, "must name each issuer once")
        if (issuer := environment.get("OIDC_ISSUER")) in issuers:
            raise ConfigurationError(
                f"the environment variables EHR_ISSUERS and OIDC_ISSUER both name {issuer!r}: whether its token is an"
                " EHR's or a person's could not be told"
            )
        url = _required(environment, "EHR_BASE_URL")
        if not is_protected(url) or urlsplit(url).query or urlsplit(url).fragment:
            raise _invalid("EHR_BASE_URL", url, "must be an https URL without a query (http: on this machine only)")
        return cls(ehrs, url.rstrip("/"))


def _ehr(text: str) -> Ehr:
    """Of `https://ehr.example=https://ehr.example/jwks.json`."""
    found = _EHR.fullmatch(text)
    if not found or not is_protected(found["keys"]):
        rule = "must list pairs such as https://ehr.example=https://ehr.example/jwks.json (http: on this machine only)"
        raise _invalid("EHR_ISSUERS", text, rule)
    return Ehr(found["issuer"], found["keys"])


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What is in front of a function: with `identified`, the gateway's authorizer says who asks.

    That is so where there is an OpenID Connect issuer or an EHR whose tokens are accepted.
    """

    identified: bool

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        people, ehrs = IdentitySettings.from_environment(environment), environment.get("EHR_ISSUERS", "")
        return cls(identified=people is not None or bool(ehrs))


def is_protected(url: str) -> bool:
    """Whether nobody on the way can change what the URL answers: it is https, or on this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where it is recorded who read which patient's forecast.

    `log_group` is the group in CloudWatch Logs; empty, entries are lines of the process's own log. The key of the
    patients' hashes is `key`, or the value of the secret `key_secret`.
    """

    log_group: str
    key_secret: str
    key: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        key, secret = environment.get("AUDIT_KEY", ""), environment.get("AUDIT_KEY_SECRET", "")
        if not secret and len(key) < _KEY_LENGTH:
            raise ConfigurationError(
                "with OIDC_ISSUER or EHR_ISSUERS, the environment variable AUDIT_KEY_SECRET must name a secret, or"
                f" AUDIT_KEY must have {_KEY_LENGTH} characters or more: the audit log's patients are hashed with it"
            )
        return cls(log_group=environment.get("AUDIT_LOG_GROUP", ""), key_secret=secret, key=key)


@dataclass(frozen=True, slots=True)
class PatientKeySettings:
    """The key of the patients' hashes, where a patient must be found again: `key`, or the value of `secret`."""

    secret: str
    key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        key, secret = environment.get("PATIENT_KEY", ""), environment.get("PATIENT_KEY_SECRET", "")
        if not secret and len(key) < _KEY_LENGTH:
            raise ConfigurationError(
                "the environment variable PATIENT_KEY_SECRET must name a secret, or PATIENT_KEY must have"
                f" {_KEY_LENGTH} characters or more: patients are hashed with it"
            )
        return cls(secret=secret, key="" if secret else key)


@dataclass(frozen=True, slots=True)
class AuthorizeSettings:
    """*authorize*: the issuers, and the id of the API key under whose usage plan requests with a token count.

    One of `identity` and `ehr_trust` may be None. With `api_key` false, a request needs a token; otherwise a token or
    an API key.
    """

    identity: IdentitySettings | None
    ehr_trust: EhrTrustSettings | None
    usage_key_id: str
    api_key: bool

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        identity = IdentitySettings.from_environment(environment)
        ehr_trust = EhrTrustSettings.from_environment(environment)
        if identity is None and ehr_trust is None:
            raise ConfigurationError("one of the environment variables OIDC_ISSUER and EHR_ISSUERS must be set")
        return cls(
            identity=identity,
            ehr_trust=ehr_trust,
            usage_key_id=_required(environment, "USAGE_KEY_ID"),
            # The switch is for those who could have a token of the issuer instead.
            api_key=_switch(environment, "OIDC_API_KEY") or identity is None,
        )


# ---------------------------------------------------------------- pipeline functions
@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Which data sources may be read: the largest size, the longest download in seconds, and from where.

    A source on the web must be at an https URL on a public address, unless http and private addresses are allowed.
    """

    max_bytes: int = 4_000_000_000
    max_seconds: float = 600
    allow_http: bool = False
    allow_private: bool = False

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            max_bytes=_count(environment, "MAX_SOURCE_MEGABYTES", 4000) * 1_000_000,
            max_seconds=_seconds(environment, "MAX_SOURCE_SECONDS", 600),
            allow_http=_switch(environment, "ALLOW_HTTP_SOURCES"),
            allow_private=_switch(environment, "ALLOW_PRIVATE_SOURCES"),
        )


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """*plan*: the S3 bucket of batches and manifests, and the source of an execution that does not name one.

    `owner` is the login that migrates the databases. Of executions that drift starts, one begins `retrain_pause_hours`
    after the other at the earliest.
    """

    database: DatabaseSettings
    owner: DatabaseSettings
    data_bucket: str
    default_source: str
    sources: SourceSettings
    retrain_pause_hours: int = _RETRAIN_PAUSE_HOURS

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            owner=DatabaseSettings.of_owner(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
            default_source=_required(environment, "DEFAULT_SOURCE"),
            sources=SourceSettings.from_environment(environment),
            retrain_pause_hours=_whole(environment, "RETRAIN_PAUSE_HOURS", _RETRAIN_PAUSE_HOURS),
        )


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """*ingest* and *clean*: the database, and the S3 bucket of batches and manifests."""

    database: DatabaseSettings
    data_bucket: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment), data_bucket=_required(environment, "DATA_BUCKET")
        )


class IngestSettings(BatchSettings):
    """*ingest*."""

    __slots__ = ()


class CleanSettings(BatchSettings):
    """*clean*."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """*check*: `max_invalid_share` is the largest share of rows, 0 to 1, that may be quarantined."""

    database: DatabaseSettings
    data_bucket: str
    max_invalid_share: float

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
            max_invalid_share=_share(environment, "MAX_INVALID_SHARE", 0.02),
        )


@dataclass(frozen=True, slots=True)
class EraseSettings:
    """*erase*: all places where patients' data are, and the model that may have been trained on them.

    `patient_key` is that of the prediction log; None without a log.
    """

    database: DatabaseSettings
    data_bucket: str
    model: ModelSettings
    patient_key: PatientKeySettings | None = None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
            model=ModelSettings.from_environment(environment),
            patient_key=PatientKeySettings.from_environment(environment)
            if environment.get("PATIENT_KEY_SECRET")
            else None,
        )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """*train*."""

    database: DatabaseSettings
    model: ModelSettings

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment), model=ModelSettings.from_environment(environment)
        )


@dataclass(frozen=True, slots=True)
class TrainingJobSettings:
    """*train*: whether the function trains, or a SageMaker training job does.

    With `where` other than `lambda`, a job trains if there are `rows` or more to learn from. Its name begins with
    `stack`; `instances` is the number of its machines if the training is distributed.
    """

    where: Training
    rows: int
    instances: int
    stack: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        where = environment.get("TRAINING", "lambda")
        if where not in ("lambda", "container", "distributed"):
            raise _invalid("TRAINING", where, "must be lambda, container or distributed")
        return cls(
            where=cast(Training, where),
            rows=_whole(environment, "TRAINING_JOB_ROWS", 0),
            instances=_count(environment, "TRAINING_INSTANCES", 1),
            stack=environment.get("STACK_NAME", "readmission"),
        )


@dataclass(frozen=True, slots=True)
class ChallengeSettings:
    """How a new version is tried on live requests before it serves.

    It shadows for `shadow_requests` logged forecasts, and then answers `canary_share` of the patients for as many.
    Without a share, it is promoted after it has shadowed. A label other than <30 is final `label_due_days` after the
    discharge.
    """

    shadow_requests: int
    canary_share: float
    label_due_days: int

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None if SHADOW_REQUESTS is 0: then a version serves as soon as it passes the comparison."""
        requests = _whole(environment, "SHADOW_REQUESTS", 0)
        if not requests:
            return None
        share = _share(environment, "CANARY_SHARE", 0.1)
        if share > _LARGEST_CANARY:
            raise _invalid("CANARY_SHARE", str(share), f"must be a number from 0 to {_LARGEST_CANARY}")
        return cls(requests, share, _count(environment, "LABEL_DUE_DAYS", 30))


@dataclass(frozen=True, slots=True)
class PromoteSettings:
    """*promote*: the ledger's database, the login that migrates it (`owner`), and the model.

    Without `challenges`, a version that passes the comparison serves at once.
    """

    database: DatabaseSettings
    owner: DatabaseSettings
    model: ModelSettings
    challenges: ChallengeSettings | None = None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            owner=DatabaseSettings.of_owner(environment),
            model=ModelSettings.from_environment(environment),
            challenges=ChallengeSettings.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """*guard*: the database of the ledger and of the prediction log, the model, and how challengers are tried.

    `challenges` is None if there are none.
    """

    database: DatabaseSettings
    model: ModelSettings
    challenges: ChallengeSettings | None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            model=ModelSettings.from_environment(environment),
            challenges=ChallengeSettings.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """*report*."""

    model: ModelSettings

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(model=ModelSettings.from_environment(environment))


@dataclass(frozen=True, slots=True)
class MonitorLimits:
    """From where on the monitor alerts. Chance is allowed for in addition, so that few rows alarm nobody.

    - `psi`: population stability index of an input, or of the forecasts.
    - `missing`: how much the share of rows without a value of an input may rise, 0 to 1.
    - `new_share`: share of rows with a category that training has not seen.
    - `auc_loss`, `log_loss_gain`: how much worse than on the validation rows of the training.
    - `calibration_error`: of realised forecasts.
    - `invalid_gain`: how much the share of invalid rows of a delivery may rise over that of those before it.
    """

    psi: float = 0.2
    missing: float = 0.1
    new_share: float = 0.02
    auc_loss: float = 0.05
    log_loss_gain: float = 0.05
    calibration_error: float = 0.03
    invalid_gain: float = 0.005

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        default = cls()
        return cls(
            psi=_limit(environment, "MONITOR_MAX_PSI", default.psi),
            missing=_share(environment, "MONITOR_MAX_MISSING_GAIN", default.missing),
            new_share=_share(environment, "MONITOR_MAX_NEW_SHARE", default.new_share),
            auc_loss=_share(environment, "MONITOR_MAX_AUC_LOSS", default.auc_loss),
            log_loss_gain=_limit(environment, "MONITOR_MAX_LOG_LOSS_GAIN", default.log_loss_gain),
            calibration_error=_share(environment, "MONITOR_MAX_CALIBRATION_ERROR", default.calibration_error),
            invalid_gain=_share(environment, "MONITOR_MAX_INVALID_GAIN", default.invalid_gain),
        )


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """*monitor*: what to look at, and where the document goes (`data_bucket`).

    Logged forecasts are looked at in windows of `window_days` days. Of a window, about `rows` rows are read at most. A
    label of a logged forecast is due `label_due_days` days after the discharge. With `events`, EventBridge
    gets an event of `stack` when a limit is exceeded.
    """

    database: DatabaseSettings
    model: ModelSettings
    data_bucket: str
    limits: MonitorLimits
    window_days: int = 7
    rows: int = 20_000
    label_due_days: int = 30
    events: bool = False
    stack: str = ""

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            model=ModelSettings.from_environment(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
            limits=MonitorLimits.from_environment(environment),
            window_days=_count(environment, "MONITOR_WINDOW_DAYS", 7),
            rows=_count(environment, "MONITOR_ROWS", 20_000),
            label_due_days=_whole(environment, "LABEL_DUE_DAYS", 30),
            events=_switch(environment, "MONITOR_EVENTS"),
            stack=environment.get("STACK_NAME", ""),
        )


# ---------------------------------------------------------------- prediction log
@dataclass(frozen=True, slots=True)
class PredictionLogSettings:
    """Where answered forecasts are sent: a queue, and for messages that are too large a bucket.

    `seconds` is how long an answer may wait for it.
    """

    queue_url: str
    data_bucket: str
    seconds: float
    patient_key: PatientKeySettings

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None unless PREDICTION_LOG is on: then no forecast is logged."""
        if not _switch(environment, "PREDICTION_LOG"):
            return None
        return cls(
            queue_url=_required(environment, "PREDICTION_QUEUE_URL"),
            data_bucket=_required(environment, "DATA_BUCKET"),
            seconds=_seconds(environment, "PREDICTION_LOG_SECONDS", 0.5),
            patient_key=PatientKeySettings.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """*record*: the database of the prediction log, the login that migrates it (`owner`), the bucket of large messages.

    Forecasts are deleted `retention_days` after their answers.
    """

    database: DatabaseSettings
    owner: DatabaseSettings
    data_bucket: str
    retention_days: int

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            owner=DatabaseSettings.of_owner(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
            retention_days=_count(environment, "PREDICTION_RETENTION_DAYS", 365),
        )


# ---------------------------------------------------------------- functions behind API Gateway
@dataclass(frozen=True, slots=True)
class PatientHistorySettings:
    """The database with patients' earlier stays, and how long (seconds) a request may wait for them."""

    database: DatabaseSettings
    seconds: float

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None unless PATIENT_HISTORY is on: then no history is looked up."""
        if not _switch(environment, "PATIENT_HISTORY"):
            return None
        return cls(
            database=DatabaseSettings.from_environment(environment),
            seconds=_seconds(environment, "PATIENT_HISTORY_SECONDS", 0.25),
        )


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """*score*: the bucket with the files of the jobs, the model, and the login that reads patients' histories.

    `source` has the largest size of a file, and how long reading it may take. With `log`, a login that writes rows,
    every forecast gets into the prediction log, with the patient hashed by `patient_key`.
    """

    database: DatabaseSettings
    data_bucket: str
    model: ModelSettings
    source: SourceSettings
    log: DatabaseSettings | None = None
    patient_key: PatientKeySettings | None = None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        database = DatabaseSettings.from_environment(environment)
        logs = _switch(environment, "PREDICTION_LOG")
        return cls(
            database=database,
            data_bucket=_required(environment, "DATA_BUCKET"),
            model=ModelSettings.from_environment(environment),
            source=SourceSettings(
                max_bytes=_count(environment, "MAX_SOURCE_MEGABYTES", 4000) * 1_000_000,
                max_seconds=_seconds(environment, "MAX_SOURCE_SECONDS", 600),
            ),
            log=replace(database, secret=_required(environment, "DATABASE_LOG_SECRET")) if logs else None,
            patient_key=PatientKeySettings.from_environment(environment) if logs else None,
        )


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """*jobs*: the state machine that scores, and the bucket with the files of the jobs."""

    state_machine: str
    data_bucket: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            state_machine=_required(environment, "SCORE_MACHINE_ARN"), data_bucket=_required(environment, "DATA_BUCKET")
        )


@dataclass(frozen=True, slots=True)
class EhrSettings:
    """What an EHR's requests need: the systems of the identifiers that are the deliveries' numbers of patients and
    stays, and the address of the page that a card leads to. Empty: none.
    """

    patient_system: str = ""
    encounter_system: str = ""
    page_url: str = ""

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        page = environment.get("EHR_PAGE_URL", "")
        if page and not page.startswith(("https://", "http://")):
            raise ConfigurationError("EHR_PAGE_URL must be an address that begins with https://")
        return cls(environment.get("EHR_PATIENT_SYSTEM", ""), environment.get("EHR_ENCOUNTER_SYSTEM", ""), page)


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """*predict*: the model, how often (seconds) to poll the registry, and the origins that CORS allows (`*`: any).

    Without an issuer of tokens (`identified`) there is no `audit`. Without `history`, the histories of patients are not
    looked up, and without `prediction_log` no forecast is logged. A challenger that takes more than
    `challenger_seconds` for an encounter is not asked again; without them, there is none.
    """

    model: ModelSettings
    refresh_seconds: float
    cors_origins: tuple[str, ...] = ()
    identity: IdentitySettings | None = None
    identified: bool = False
    audit: AuditSettings | None = None
    history: PatientHistorySettings | None = None
    prediction_log: PredictionLogSettings | None = None
    challenger_seconds: float | None = None
    ehr: EhrSettings = EhrSettings()

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        identified = GatewaySettings.from_environment(environment).identified
        return cls(
            identity=IdentitySettings.from_environment(environment),
            identified=identified,
            audit=AuditSettings.from_environment(environment) if identified else None,
            model=ModelSettings.from_environment(environment),
            refresh_seconds=_seconds(environment, "MODEL_REFRESH_SECONDS", 10),
            cors_origins=_origins(environment, "CORS_ALLOW_ORIGINS"),
            history=PatientHistorySettings.from_environment(environment),
            prediction_log=PredictionLogSettings.from_environment(environment),
            challenger_seconds=_seconds(environment, "CHALLENGER_SECONDS", _CHALLENGER_SECONDS)
            if _whole(environment, "SHADOW_REQUESTS", 0)
            else None,
            ehr=EhrSettings.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """*history*: the database of the promotion ledger, and the model whose decisions are listed."""

    database: DatabaseSettings
    model_name: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment), model_name=_required(environment, "MODEL_NAME")
        )


@dataclass(frozen=True, slots=True)
class OutcomesSettings:
    """*outcomes*: the database that outcomes are written to."""

    database: DatabaseSettings

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(database=DatabaseSettings.from_environment(environment))


@dataclass(frozen=True, slots=True)
class MonitorDocumentSettings:
    """*history*, for `GET /monitor`: the bucket with the monitor's documents, and the model they are about."""

    data_bucket: str
    model_name: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(data_bucket=_required(environment, "DATA_BUCKET"), model_name=_required(environment, "MODEL_NAME"))


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """*history* and *outcomes*: the web origins whose pages may read an answer (`*`: any).

    Read by themselves, so that pages can also read the answer that another setting is missing.
    """

    origins: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(origins=_origins(environment, "CORS_ALLOW_ORIGINS"))


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """*metrics*: what to export, and the secret that holds the bearer token."""

    exporter: ExporterSettings
    token_secret: str
    identity: IdentitySettings | None = None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            exporter=ExporterSettings.from_environment(environment),
            token_secret=_required(environment, "METRICS_TOKEN_SECRET"),
            identity=IdentitySettings.from_environment(environment),
        )


# ---------------------------------------------------------------- the platform on AWS
@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """*bootstrap*: the administrator's login, the secrets of the users, and MLflow's ECS cluster and service."""

    administrator: DatabaseSettings
    login_secrets: tuple[str, ...]
    mlflow_cluster: str
    mlflow_service: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        administrator = {**environment, "DATABASE_SECRET": _required(environment, "ADMINISTRATOR_SECRET")}
        return cls(
            administrator=DatabaseSettings.from_environment(administrator),
            login_secrets=tuple(_required(environment, "LOGIN_SECRETS").split(",")),
            mlflow_cluster=_required(environment, "MLFLOW_CLUSTER"),
            mlflow_service=_required(environment, "MLFLOW_SERVICE"),
        )


# ---------------------------------------------------------------- processes outside Lambda
@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The address that the API, or the exporter, listens on as a process."""

    host: str
    port: int

    @classmethod
    def from_environment(cls, environment: Environment = os.environ, *, default_port: int) -> Self:
        return cls(host=environment.get("HOST", "127.0.0.1"), port=_port(environment, "PORT", default_port))


@dataclass(frozen=True, slots=True)
class ApiKeySettings:
    """Where the API keys are: a file, or a secret in Secrets Manager. The other one is empty."""

    file: str = ""
    secret: str = ""

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self | None:
        """None without either: then no request needs a key."""
        file, secret = environment.get("API_KEYS_FILE", ""), environment.get("API_KEYS_SECRET", "")
        if file and secret:
            raise ConfigurationError(
                "only one of the environment variables API_KEYS_FILE and API_KEYS_SECRET may be set"
            )
        return cls(file, secret) if file or secret else None


@dataclass(frozen=True, slots=True)
class ApiProcessSettings:
    """What *predict* does itself where neither Lambda nor a gateway does: keys, tokens of EHRs, metrics, and leaving.

    After SIGTERM it goes on to answer for `drain_seconds`.
    """

    api_keys: ApiKeySettings | None
    ehr_trust: EhrTrustSettings | None
    measures: bool
    drain_seconds: float

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        text = environment.get("DRAIN_SECONDS", "0")
        if not 0 <= (drain_seconds := _number(text)) <= 3600:
            raise _invalid("DRAIN_SECONDS", text, "must be a number of seconds from 0 to 3600")
        return cls(
            api_keys=ApiKeySettings.from_environment(environment),
            ehr_trust=EhrTrustSettings.from_environment(environment),
            measures=bool(environment.get("METRICS_PORT")),
            drain_seconds=drain_seconds,
        )


@dataclass(frozen=True, slots=True)
class ApiServerSettings:
    """The API as a process: its address, and its number of worker processes.

    `metrics_port` is the port of the metrics for Prometheus, None for none.
    """

    server: ServerSettings
    metrics_port: int | None = None
    workers: int = 1

    @classmethod
    def from_environment(cls, environment: Environment = os.environ, *, default_port: int) -> Self:
        server = ServerSettings.from_environment(environment, default_port=default_port)
        _refuse_strangers(environment, server.host)
        port = _port(environment, "METRICS_PORT", 0) if environment.get("METRICS_PORT") else None
        if port == server.port:
            raise _invalid("METRICS_PORT", str(port), "must be another port than the API's")
        # The name that uvicorn and other servers read.
        return cls(server=server, metrics_port=port, workers=_count(environment, "WEB_CONCURRENCY", 1))


def _refuse_strangers(environment: Environment, host: str) -> None:
    """Who reaches the API may ask for forecasts: other machines only if it asks who is calling, or need not."""
    anonymous = environment.get("ALLOW_ANONYMOUS", "")
    if anonymous not in ("", "1"):
        raise _invalid("ALLOW_ANONYMOUS", anonymous, "must be 1, or not set")
    issuer = environment.get("OIDC_ISSUER") or environment.get("EHR_ISSUERS")
    knows = issuer or ApiKeySettings.from_environment(environment)
    if not (anonymous or knows or host in _LOOPBACK):
        raise ConfigurationError(
            f"the environment variable HOST is {host!r}, so that other machines reach the API, and nothing says who may"
            " call it: set API_KEYS_FILE, API_KEYS_SECRET, OIDC_ISSUER or EHR_ISSUERS, or ALLOW_ANONYMOUS=1 if"
            " something in front of the API asks"
        )


@dataclass(frozen=True, slots=True)
class ExporterProcessSettings:
    """The exporter as a process: `token` is the bearer token it requires, None for none."""

    exporter: ExporterSettings
    token: str | None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            exporter=ExporterSettings.from_environment(environment), token=environment.get("METRICS_TOKEN") or None
        )


@dataclass(frozen=True, slots=True)
class JobSettings:
    """A training job: the folders of its configuration and its output. None of them is invalid by itself."""

    configuration: str
    output: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            configuration=environment.get("TRAINING_CONFIG", "/opt/ml/input/config"),
            output=environment.get("TRAINING_OUTPUT", "/opt/ml/output"),
        )


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """A host of a distributed training: the port of the scheduler on the first host, and the threads of a worker.

    None threads are as many as there are processors.
    """

    scheduler_port: int
    threads: int | None

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            scheduler_port=_port(environment, "DASK_SCHEDULER_PORT", 8786),
            threads=_count(environment, "TRAINING_THREADS", 1) if "TRAINING_THREADS" in environment else None,
        )


@dataclass(frozen=True, slots=True)
class DistributedSettings:
    """A distributed training: `data_bucket` holds the exported rows."""

    database: DatabaseSettings
    model: ModelSettings
    data_bucket: str

    @classmethod
    def from_environment(cls, environment: Environment = os.environ) -> Self:
        return cls(
            database=DatabaseSettings.from_environment(environment),
            model=ModelSettings.from_environment(environment),
            data_bucket=_required(environment, "DATA_BUCKET"),
        )


# ---------------------------------------------------------------- values
def _invalid(name: str, value: str, rule: str) -> ConfigurationError:
    return ConfigurationError(f"the environment variable {name} {rule}, not {value!r}")


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value


def _number(text: str) -> float:
    """The number, or NaN, which no range includes."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _seconds(environment: Environment, name: str, default: float) -> float:
    text = environment.get(name, str(default))
    seconds = _number(text)
    if not 0 < seconds < 86_400:
        raise _invalid(name, text, "must be a number of seconds, more than 0 and less than 86400")
    return seconds


def _share(environment: Environment, name: str, default: float) -> float:
    text = environment.get(name, str(default))
    share = _number(text)
    if not 0 <= share <= 1:
        raise _invalid(name, text, "must be a number from 0 to 1")
    return share


def _limit(environment: Environment, name: str, default: float) -> float:
    text = environment.get(name, str(default))
    limit = _number(text)
    if not 0 <= limit < 1000:
        raise _invalid(name, text, "must be a number, 0 or more and less than 1000")
    return limit


def _count(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise _invalid(name, text, "must be a positive integer")
    return int(text)


def _whole(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise _invalid(name, text, "must be a whole number, 0 or more")
    return int(text)


def _port(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise _invalid(name, text, "must be a port from 1 to 65535")
    return int(text)


def _switch(environment: Environment, name: str) -> bool:
    text = environment.get(name, "off")
    if text not in ("on", "off"):
        raise _invalid(name, text, "must be on or off")
    return text == "on"


def _origins(environment: Environment, name: str) -> tuple[str, ...]:
    origins = tuple(origin for part in environment.get(name, "").split(",") if (origin := part.strip()))
    for origin in origins:
        # Browsers send an origin without a path: one with a path, or a trailing slash, would never match.
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise _invalid(name, origin, "must list web origins such as https://example.org")
    return origins
