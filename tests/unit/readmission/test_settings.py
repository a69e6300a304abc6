from collections.abc import Callable
from typing import Any

import pytest
from readmission.errors import ConfigurationError
from readmission.settings import (
    ApiProcessSettings,
    AuditSettings,
    AuthorizeSettings,
    ChallengeSettings,
    CheckSettings,
    CleanSettings,
    ClusterSettings,
    CorsSettings,
    DatabaseSettings,
    DistributedSettings,
    Ehr,
    EhrTrustSettings,
    ExporterProcessSettings,
    ExporterSettings,
    GatewaySettings,
    HistorySettings,
    IdentitySettings,
    IngestSettings,
    JobSettings,
    MetricsSettings,
    ModelSettings,
    PatientHistorySettings,
    PatientKeySettings,
    PlanSettings,
    PredictionLogSettings,
    PromoteSettings,
    ReportSettings,
    ServingSettings,
    SourceSettings,
    TrainingJobSettings,
    TrainSettings,
)

from tests.unit.templates import TEMPLATE

ENVIRONMENT = {
    "DATABASE_SECRET": "readmission/database/pipeline",
    "DATABASE_OWNER_SECRET": "readmission/database",
    "DATABASE_HOST": "db.example",
    "DATABASE_PORT": "6432",
    "DATABASE_TLS": "verify-full",
    "DATA_BUCKET": "bucket",
    "DEFAULT_SOURCE": "synthetic",
    "MAX_SOURCE_MEGABYTES": "5",
    "MAX_SOURCE_SECONDS": "7.5",
    "ALLOW_HTTP_SOURCES": "on",
    "ALLOW_PRIVATE_SOURCES": "off",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "MODEL_NAME": "readmission",
    "MODEL_REFRESH_SECONDS": "2.5",
    "MAX_INVALID_SHARE": "0.1",
    "MAX_TRAINING_ROWS": "5000",
    "STACK_NAME": "readmission",
    "TRAINING": "distributed",
    "TRAINING_JOB_ROWS": "1000000",
    "TRAINING_INSTANCES": "4",
    "TRAINING_JOB_SECONDS": "7200",
    "STATE_MACHINE_ARN": "arn",
    "METRICS_CACHE_SECONDS": "60",
    "METRICS_TOKEN_SECRET": "token-secret",
    "METRICS_TOKEN": "token",
    "MLFLOW_SECRET": "mlflow-login",
}
DATABASE = DatabaseSettings("readmission/database/pipeline", "verify-full", "db.example", 6432)
OWNER = DatabaseSettings("readmission/database", "verify-full", "db.example", 6432)
MODEL = ModelSettings("http://mlflow:5000", "readmission", 5000, "mlflow-login", 7200)
EXPORTER = ExporterSettings("readmission", "arn", 60)
# What each function, or process, needs, and the variables it cannot do without.
HANDLERS: dict[Any, tuple[Any, tuple[str, ...]]] = {
    PlanSettings: (
        PlanSettings(DATABASE, OWNER, "bucket", "synthetic", SourceSettings(5_000_000, 7.5, True, False)),
        ("DATABASE_SECRET", "DATA_BUCKET", "DEFAULT_SOURCE"),
    ),
    IngestSettings: (IngestSettings(DATABASE, "bucket"), ("DATABASE_SECRET", "DATA_BUCKET")),
    CleanSettings: (CleanSettings(DATABASE, "bucket"), ("DATABASE_SECRET", "DATA_BUCKET")),
    CheckSettings: (CheckSettings(DATABASE, "bucket", 0.1), ("DATABASE_SECRET", "DATA_BUCKET")),
    TrainSettings: (TrainSettings(DATABASE, MODEL), ("DATABASE_SECRET", "MLFLOW_TRACKING_URI", "MODEL_NAME")),
    TrainingJobSettings: (TrainingJobSettings("distributed", 1_000_000, 4, "readmission"), ()),
    PromoteSettings: (
        PromoteSettings(DATABASE, OWNER, MODEL),
        ("DATABASE_SECRET", "MLFLOW_TRACKING_URI", "MODEL_NAME"),
    ),
    ReportSettings: (ReportSettings(MODEL), ("MLFLOW_TRACKING_URI", "MODEL_NAME")),
    ServingSettings: (ServingSettings(MODEL, 2.5), ("MLFLOW_TRACKING_URI", "MODEL_NAME")),
    HistorySettings: (HistorySettings(DATABASE, "readmission"), ("DATABASE_SECRET", "MODEL_NAME")),
    MetricsSettings: (MetricsSettings(EXPORTER, "token-secret"), ("STACK_NAME", "METRICS_TOKEN_SECRET")),
    ExporterProcessSettings: (ExporterProcessSettings(EXPORTER, "token"), ("STACK_NAME",)),
}


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_each_function_reads_its_settings(handler: Any) -> None:
    assert handler.from_environment(ENVIRONMENT) == HANDLERS[handler][0]


@pytest.mark.parametrize(
    ("read", "name"),
    [
        pytest.param(handler.from_environment, name, id=f"{handler.__name__}-{name}")
        for handler, (_, required) in HANDLERS.items()
        for name in required
    ],
)
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_a_missing_variable_is_named(read: Callable[[dict[str, str]], Any], name: str, empty: bool) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name} | ({name: ""} if empty else {})
    with pytest.raises(ConfigurationError, match=name):
        read(environment)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_a_function_needs_only_its_own_variables(handler: Any) -> None:
    required = {name: ENVIRONMENT[name] for name in HANDLERS[handler][1]}
    assert handler.from_environment(required)


@pytest.mark.parametrize("value", ["", "Require", "off", "prefer"])
def test_an_unknown_tls_mode_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DATABASE_TLS .*{value!r}"):
        DatabaseSettings.from_environment(ENVIRONMENT | {"DATABASE_TLS": value})


@pytest.mark.parametrize("value", ["", "ten", "0", "-1", "nan", "inf", "86400", "10s"])
def test_an_invalid_number_of_seconds_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MODEL_REFRESH_SECONDS .*{value!r}"):
        ServingSettings.from_environment(ENVIRONMENT | {"MODEL_REFRESH_SECONDS": value})


def test_histories_are_looked_up_if_the_setting_says_so_with_a_limit_of_a_quarter_of_a_second() -> None:
    on = ENVIRONMENT | {"PATIENT_HISTORY": "on"}
    assert ServingSettings.from_environment(on).history == PatientHistorySettings(DATABASE, 0.25)
    longer = ServingSettings.from_environment(on | {"PATIENT_HISTORY_SECONDS": "1.5"})
    assert longer.history == PatientHistorySettings(DATABASE, 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PATIENT_HISTORY", "yes"), ("PATIENT_HISTORY_SECONDS", "0"), ("DATABASE_SECRET", ""), ("DATABASE_TLS", "on")],
)
def test_an_invalid_setting_of_the_histories_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ServingSettings.from_environment(ENVIRONMENT | {"PATIENT_HISTORY": "on", name: value})


@pytest.mark.parametrize("value", ["", "2 %", "-0.01", "1.01", "nan"])
def test_an_invalid_share_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MAX_INVALID_SHARE .*{value!r}"):
        CheckSettings.from_environment(ENVIRONMENT | {"MAX_INVALID_SHARE": value})


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_share_may_allow_no_invalid_rows_or_only_invalid_rows(value: str) -> None:
    settings = CheckSettings.from_environment(ENVIRONMENT | {"MAX_INVALID_SHARE": value})
    assert settings.max_invalid_share == int(value)


@pytest.mark.parametrize("value", ["", "Lambda", "sagemaker"])
def test_an_unknown_place_of_the_training_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TRAINING .*{value!r}"):
        TrainingJobSettings.from_environment({"TRAINING": value})


@pytest.mark.parametrize("value", ["", "-1", "1.5", "many"])
def test_a_number_of_rows_for_a_job_that_is_no_whole_number_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TRAINING_JOB_ROWS .*{value!r}"):
        TrainingJobSettings.from_environment({"TRAINING_JOB_ROWS": value})


def test_without_settings_the_function_trains() -> None:
    assert TrainingJobSettings.from_environment({}).where == "lambda"


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "²"])
def test_an_invalid_number_of_rows_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MAX_TRAINING_ROWS .*{value!r}"):
        ModelSettings.from_environment(ENVIRONMENT | {"MAX_TRAINING_ROWS": value})


def test_by_default_training_uses_as_many_rows_as_the_template_says() -> None:
    unset = {name: value for name, value in ENVIRONMENT.items() if name != "MAX_TRAINING_ROWS"}
    assert (
        ModelSettings.from_environment(unset).max_training_rows == TEMPLATE["Parameters"]["MaxTrainingRows"]["Default"]
    )


def test_by_default_one_row_in_fifty_may_be_invalid() -> None:
    unset = {name: value for name, value in ENVIRONMENT.items() if name != "MAX_INVALID_SHARE"}
    assert CheckSettings.from_environment(unset).max_invalid_share == 0.02


@pytest.mark.parametrize("value", ["mlflow", "mlflow:5000", "sqlite:///mlflow.db", "file:///mlruns", "/mlruns"])
def test_a_tracking_uri_that_is_not_a_server_url_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MLFLOW_TRACKING_URI .*{value!r}"):
        ModelSettings.from_environment(ENVIRONMENT | {"MLFLOW_TRACKING_URI": value})


def test_by_default_connections_are_encrypted() -> None:
    assert DatabaseSettings.from_environment({"DATABASE_SECRET": "s"}).tls == "require"


def test_without_a_secret_of_its_own_the_owner_logs_in_as_the_others_do() -> None:
    environment = {"DATABASE_SECRET": "s"}
    assert DatabaseSettings.of_owner(environment) == DatabaseSettings.from_environment(environment)


@pytest.mark.parametrize("port", ["", "0", "65536", "5432.5", "postgres"])
def test_a_database_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_PORT must be a port from 1 to 65535"):
        DatabaseSettings.from_environment({"DATABASE_SECRET": "s", "DATABASE_PORT": port})


def test_by_default_the_registry_is_polled_every_10_seconds() -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != "MODEL_REFRESH_SECONDS"}
    assert ServingSettings.from_environment(environment).refresh_seconds == 10


def test_a_trailing_slash_of_the_tracking_uri_is_dropped() -> None:
    settings = ModelSettings.from_environment(ENVIRONMENT | {"MLFLOW_TRACKING_URI": "https://mlflow.example/x/"})
    assert settings.tracking_uri == "https://mlflow.example/x"


def test_only_listed_origins_are_allowed() -> None:
    assert ServingSettings.from_environment(ENVIRONMENT).cors_origins == ()
    listed = ENVIRONMENT | {"CORS_ALLOW_ORIGINS": " https://ward.example, http://localhost:3000,"}
    assert ServingSettings.from_environment(listed).cors_origins == ("https://ward.example", "http://localhost:3000")
    assert ServingSettings.from_environment(ENVIRONMENT | {"CORS_ALLOW_ORIGINS": "*"}).cors_origins == ("*",)
    assert CorsSettings.from_environment(listed).origins == ("https://ward.example", "http://localhost:3000")


def test_by_default_mlflow_needs_no_secret() -> None:
    unset = {name: value for name, value in ENVIRONMENT.items() if name != "MLFLOW_SECRET"}
    assert ModelSettings.from_environment(unset).secret == ""


@pytest.mark.parametrize("value", ["ward.example", "https://ward.example/", "https://a/b", "https://*.example", "null"])
def test_an_invalid_web_origin_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match="CORS_ALLOW_ORIGINS") as caught:
        ServingSettings.from_environment(ENVIRONMENT | {"CORS_ALLOW_ORIGINS": f"https://ok.example,{value}"})
    assert repr(value) in str(caught.value)


def test_the_exporter_needs_only_a_stack_name() -> None:
    assert ExporterSettings.from_environment({"STACK_NAME": "s"}) == ExporterSettings("s", "", 15)


@pytest.mark.parametrize("variables", [{}, {"METRICS_TOKEN": ""}], ids=["missing", "empty"])
def test_without_a_token_the_exporter_process_requires_none(variables: dict[str, str]) -> None:
    assert ExporterProcessSettings.from_environment({"STACK_NAME": "s"} | variables).token is None


# ---------------------------------------------------------------- identity
ISSUER = {"OIDC_ISSUER": "https://login.example/realm", "OIDC_AUDIENCE": "api"}


def test_without_an_issuer_there_is_no_identity_and_no_audit() -> None:
    assert IdentitySettings.from_environment({}) is None
    assert IdentitySettings.from_environment({"OIDC_ISSUER": "", "OIDC_AUDIENCE": ""}) is None


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example",
        "login.example",
        "https://",
        "file:///etc/passwd",
        "https://login.example?x=1",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
    ],
)
def test_an_issuer_that_others_can_change_is_refused(issuer: str) -> None:
    with pytest.raises(ConfigurationError, match="OIDC_ISSUER"):
        IdentitySettings.from_environment({**ISSUER, "OIDC_ISSUER": issuer})


@pytest.mark.parametrize("issuer", ["https://login.example/", "http://127.0.0.1:8080", "http://localhost:8080/a"])
def test_an_issuer_is_taken_letter_by_letter(issuer: str) -> None:
    found = IdentitySettings.from_environment({**ISSUER, "OIDC_ISSUER": issuer})
    assert found == IdentitySettings(issuer, "api", "")


def test_an_audience_and_an_issuer_need_each_other() -> None:
    with pytest.raises(ConfigurationError, match="OIDC_AUDIENCE"):
        IdentitySettings.from_environment({**ISSUER, "OIDC_AUDIENCE": ""})
    with pytest.raises(ConfigurationError, match="OIDC_ISSUER"):
        IdentitySettings.from_environment({"OIDC_AUDIENCE": "api"})


EHR = {"EHR_ISSUERS": "https://ehr.example=https://ehr.example/jwks.json", "EHR_BASE_URL": "https://api.example/v1"}


def test_without_ehrs_nothing_is_asked_of_an_ehr() -> None:
    assert EhrTrustSettings.from_environment({}) is None
    assert EhrTrustSettings.from_environment({"EHR_ISSUERS": " , ", "EHR_BASE_URL": ""}) is None


def test_each_ehr_is_an_issuer_and_the_url_of_its_keys() -> None:
    listed = (
        "https://a.example=https://a.example/k?x=1, urn:b=http://localhost:8080/k ,https://c.example?d=e=https://c/k"
    )
    found = EhrTrustSettings.from_environment({"EHR_ISSUERS": listed, "EHR_BASE_URL": "https://api.example/v1/"})
    ehrs = (
        Ehr("https://a.example", "https://a.example/k?x=1"),
        Ehr("urn:b", "http://localhost:8080/k"),
        Ehr("https://c.example?d=e", "https://c/k"),
    )
    assert found == EhrTrustSettings(ehrs, "https://api.example/v1")


@pytest.mark.parametrize(
    "listed",
    [
        "https://ehr.example",
        "https://ehr.example=",
        "=https://ehr.example/jwks.json",
        "https://ehr.example=/jwks.json",
        "https://ehr.example=http://ehr.example/jwks.json",
        "https://ehr.example=file:///etc/passwd",
        "https://ehr.example=https://",
        "https://ehr.example = https://ehr.example/jwks.json",
        "https://ehr.example=http://localhost@evil.example/jwks.json",
    ],
)
def test_an_ehr_whose_keys_others_can_change_is_refused(listed: str) -> None:
    with pytest.raises(ConfigurationError, match=r"EHR_ISSUERS must list pairs such as https"):
        EhrTrustSettings.from_environment(EHR | {"EHR_ISSUERS": listed})


def test_an_ehr_is_named_once_and_is_not_the_issuer_of_people() -> None:
    twice = f"{EHR['EHR_ISSUERS']},https://ehr.example=https://other.example/jwks.json"
    with pytest.raises(ConfigurationError, match="each issuer once"):
        EhrTrustSettings.from_environment(EHR | {"EHR_ISSUERS": twice})
    with pytest.raises(ConfigurationError, match=r"EHR_ISSUERS and OIDC_ISSUER both name 'https://ehr\.example'"):
        EhrTrustSettings.from_environment(EHR | {"OIDC_ISSUER": "https://ehr.example"})


@pytest.mark.parametrize("url", ["", "http://api.example/v1", "api.example", "https://api.example?x=1"])
def test_ehrs_need_the_address_at_which_they_find_the_api(url: str) -> None:
    with pytest.raises(ConfigurationError, match="EHR_BASE_URL"):
        EhrTrustSettings.from_environment(EHR | {"EHR_BASE_URL": url})


def test_with_an_issuer_or_an_ehr_the_gateway_says_who_asks() -> None:
    found = [GatewaySettings.from_environment(given).identified for given in ({}, ISSUER, EHR, ISSUER | EHR)]
    assert found == [False, True, True, True]


def test_ehrs_alone_have_an_audit_log_and_are_checked_by_the_process() -> None:
    environment = EHR | {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "MODEL_NAME": "readmission"}
    with pytest.raises(ConfigurationError, match="AUDIT_KEY_SECRET"):
        ServingSettings.from_environment(environment)
    found = ServingSettings.from_environment(environment | {"AUDIT_KEY": "k" * 32})
    assert (found.identified, found.identity) == (True, None) and found.audit
    assert ApiProcessSettings.from_environment(environment).ehr_trust == EhrTrustSettings.from_environment(EHR)


@pytest.mark.parametrize(
    ("issuers", "switch", "api_key"),
    [(ISSUER, "on", True), (ISSUER, "off", False), (ISSUER | EHR, "off", False), (EHR, "off", True), (EHR, "on", True)],
)
def test_only_where_people_can_have_tokens_an_api_key_can_be_switched_off(
    issuers: dict[str, str], switch: str, api_key: bool
) -> None:
    found = AuthorizeSettings.from_environment({**issuers, "USAGE_KEY_ID": "k1", "OIDC_API_KEY": switch})
    assert (found.api_key, found.identity is None, found.ehr_trust is None) == (
        api_key,
        "OIDC_ISSUER" not in issuers,
        "EHR_ISSUERS" not in issuers,
    )


def test_the_authorizer_needs_an_issuer_or_an_ehr() -> None:
    with pytest.raises(ConfigurationError, match=r"one of .*OIDC_ISSUER and EHR_ISSUERS"):
        AuthorizeSettings.from_environment({"USAGE_KEY_ID": "k1"})


@pytest.mark.parametrize("key", ["", "short", "x" * 31])
def test_the_audit_log_needs_a_key_that_cannot_be_guessed(key: str) -> None:
    with pytest.raises(ConfigurationError, match="AUDIT_KEY_SECRET"):
        AuditSettings.from_environment({"AUDIT_KEY": key})
    assert AuditSettings.from_environment({"AUDIT_KEY": key, "AUDIT_KEY_SECRET": "name"}).key_secret == "name"


LOG = {"PREDICTION_LOG": "on", "PREDICTION_QUEUE_URL": "https://sqs.example/q", "DATA_BUCKET": "b"}


def test_without_its_switch_there_is_no_prediction_log() -> None:
    assert PredictionLogSettings.from_environment(LOG | {"PREDICTION_LOG": "off"}) is None
    assert PredictionLogSettings.from_environment({}) is None


def test_the_prediction_log_hashes_patients_with_a_key_or_that_of_a_secret() -> None:
    found = PredictionLogSettings.from_environment(LOG | {"PATIENT_KEY_SECRET": "name", "PATIENT_KEY": "k" * 32})
    assert found == PredictionLogSettings("https://sqs.example/q", "b", 0.5, PatientKeySettings("name"))
    found = PredictionLogSettings.from_environment(LOG | {"PATIENT_KEY": "k" * 32, "PREDICTION_LOG_SECONDS": "2"})
    assert found == PredictionLogSettings("https://sqs.example/q", "b", 2, PatientKeySettings("", "k" * 32))


@pytest.mark.parametrize("key", ["", "k" * 31])
def test_patients_are_not_hashed_with_a_key_that_can_be_guessed(key: str) -> None:
    with pytest.raises(ConfigurationError, match="PATIENT_KEY_SECRET"):
        PredictionLogSettings.from_environment(LOG | {"PATIENT_KEY": key})


@pytest.mark.parametrize("missing", ["PREDICTION_QUEUE_URL", "DATA_BUCKET"])
def test_the_prediction_log_needs_its_queue_and_bucket(missing: str) -> None:
    variables = {name: value for name, value in LOG.items() if name != missing} | {"PATIENT_KEY": "k" * 32}
    with pytest.raises(ConfigurationError, match=missing):
        PredictionLogSettings.from_environment(variables)


def test_by_default_a_job_reads_and_writes_where_sagemaker_puts_its_files() -> None:
    assert JobSettings.from_environment({}) == JobSettings("/opt/ml/input/config", "/opt/ml/output")
    assert ClusterSettings.from_environment({}) == ClusterSettings(scheduler_port=8786, threads=None)


def test_a_distributed_training_needs_a_bucket() -> None:
    variables = {"DATABASE_SECRET": "d", "MLFLOW_TRACKING_URI": "http://m", "MODEL_NAME": "n"}
    with pytest.raises(ConfigurationError, match="DATA_BUCKET is not set"):
        DistributedSettings.from_environment(variables)
    assert DistributedSettings.from_environment(variables | {"DATA_BUCKET": "b"}).data_bucket == "b"


def test_versions_are_tried_only_with_shadow_requests() -> None:
    assert ChallengeSettings.from_environment({}) is None
    assert ChallengeSettings.from_environment({"SHADOW_REQUESTS": "0"}) is None
    found = ChallengeSettings.from_environment({"SHADOW_REQUESTS": "500"})
    assert found == ChallengeSettings(shadow_requests=500, canary_share=0.1, label_due_days=30)


@pytest.mark.parametrize(
    "variables",
    [{"SHADOW_REQUESTS": "-1"}, {"SHADOW_REQUESTS": "9", "CANARY_SHARE": "0.6"}, {"SHADOW_REQUESTS": "some"}],
    ids=str,
)
def test_how_versions_are_tried_must_make_sense(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"SHADOW_REQUESTS|CANARY_SHARE"):
        ChallengeSettings.from_environment(variables)
