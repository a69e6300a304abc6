from collections.abc import Callable
from typing import Any

import pytest
from readmission.errors import ConfigurationError
from readmission.settings import (
    DatabaseSettings,
    ExporterSettings,
    ModelSettings,
    ServingSettings,
    data_bucket,
    default_source,
    max_invalid_share,
    metrics_token,
    metrics_token_secret,
    model_name,
)

from tests.unit.templates import TEMPLATE

ENVIRONMENT = {
    "DATABASE_SECRET": "readmission/database",
    "DATABASE_TLS": "verify-full",
    "DATA_BUCKET": "bucket",
    "DEFAULT_SOURCE": "synthetic",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "MODEL_NAME": "readmission",
    "MODEL_REFRESH_SECONDS": "2.5",
    "MAX_INVALID_SHARE": "0.1",
    "MAX_TRAINING_ROWS": "5000",
    "STACK_NAME": "readmission",
    "STATE_MACHINE_ARN": "arn",
    "METRICS_CACHE_SECONDS": "60",
    "METRICS_TOKEN_SECRET": "token-secret",
    "METRICS_TOKEN": "token",
}


def test_all_settings_are_read() -> None:
    model = ModelSettings("http://mlflow:5000", "readmission", 5000)
    assert DatabaseSettings.from_environment(ENVIRONMENT) == DatabaseSettings("readmission/database", "verify-full")
    assert ServingSettings.from_environment(ENVIRONMENT) == ServingSettings(model, 2.5)
    assert data_bucket(ENVIRONMENT) == "bucket"
    assert default_source(ENVIRONMENT) == "synthetic"
    assert model_name(ENVIRONMENT) == "readmission"
    assert max_invalid_share(ENVIRONMENT) == 0.1
    assert ExporterSettings.from_environment(ENVIRONMENT) == ExporterSettings("readmission", "arn", 60)
    assert metrics_token_secret(ENVIRONMENT) == "token-secret"
    assert metrics_token(ENVIRONMENT) == "token"


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (DatabaseSettings.from_environment, "DATABASE_SECRET"),
        (data_bucket, "DATA_BUCKET"),
        (default_source, "DEFAULT_SOURCE"),
        (model_name, "MODEL_NAME"),
        (ModelSettings.from_environment, "MLFLOW_TRACKING_URI"),
        (ModelSettings.from_environment, "MODEL_NAME"),
        (ServingSettings.from_environment, "MODEL_NAME"),
        (ExporterSettings.from_environment, "STACK_NAME"),
        (metrics_token_secret, "METRICS_TOKEN_SECRET"),
    ],
)
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_a_missing_variable_is_named(read: Callable[[dict[str, str]], Any], name: str, empty: bool) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name} | ({name: ""} if empty else {})
    with pytest.raises(ConfigurationError, match=name):
        read(environment)


@pytest.mark.parametrize("value", ["", "Require", "off", "prefer"])
def test_an_unknown_tls_mode_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DATABASE_TLS .*{value!r}"):
        DatabaseSettings.from_environment(ENVIRONMENT | {"DATABASE_TLS": value})


@pytest.mark.parametrize("value", ["", "ten", "0", "-1", "nan", "inf", "86400", "10s"])
def test_a_wrong_number_of_seconds_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MODEL_REFRESH_SECONDS .*{value!r}"):
        ServingSettings.from_environment(ENVIRONMENT | {"MODEL_REFRESH_SECONDS": value})


@pytest.mark.parametrize("value", ["", "2 %", "-0.01", "1.01", "nan"])
def test_a_wrong_share_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MAX_INVALID_SHARE .*{value!r}"):
        max_invalid_share({"MAX_INVALID_SHARE": value})


@pytest.mark.parametrize("value", ["0", "1"])
def test_no_row_or_every_row_may_be_invalid(value: str) -> None:
    assert max_invalid_share({"MAX_INVALID_SHARE": value}) == int(value)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "²"])
def test_a_wrong_number_of_rows_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MAX_TRAINING_ROWS .*{value!r}"):
        ModelSettings.from_environment(ENVIRONMENT | {"MAX_TRAINING_ROWS": value})


def test_as_many_rows_are_learned_from_as_the_template_says_unless_told_otherwise() -> None:
    unset = {name: value for name, value in ENVIRONMENT.items() if name != "MAX_TRAINING_ROWS"}
    assert ModelSettings.from_environment(unset).newest == TEMPLATE["Parameters"]["MaxTrainingRows"]["Default"]


def test_one_row_in_fifty_may_be_invalid_unless_told_otherwise() -> None:
    assert max_invalid_share({}) == 0.02


@pytest.mark.parametrize("value", ["mlflow", "mlflow:5000", "sqlite:///mlflow.db", "file:///mlruns", "/mlruns"])
def test_a_tracking_uri_that_is_no_url_of_a_server_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MLFLOW_TRACKING_URI .*{value!r}"):
        ModelSettings.from_environment(ENVIRONMENT | {"MLFLOW_TRACKING_URI": value})


def test_connections_are_encrypted_unless_told_otherwise() -> None:
    assert DatabaseSettings.from_environment({"DATABASE_SECRET": "s"}).tls == "require"


def test_a_model_is_looked_for_every_10_seconds_unless_told_otherwise() -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != "MODEL_REFRESH_SECONDS"}
    assert ServingSettings.from_environment(environment).refresh_seconds == 10


def test_a_slash_at_the_end_of_the_tracking_uri_is_dropped() -> None:
    settings = ModelSettings.from_environment(ENVIRONMENT | {"MLFLOW_TRACKING_URI": "https://mlflow.example/x/"})
    assert settings.tracking_uri == "https://mlflow.example/x"


def test_no_page_may_ask_unless_its_origin_is_listed() -> None:
    assert ServingSettings.from_environment(ENVIRONMENT).cors_origins == ()
    listed = ENVIRONMENT | {"CORS_ALLOW_ORIGINS": " https://ward.example, http://localhost:3000,"}
    assert ServingSettings.from_environment(listed).cors_origins == ("https://ward.example", "http://localhost:3000")
    assert ServingSettings.from_environment(ENVIRONMENT | {"CORS_ALLOW_ORIGINS": "*"}).cors_origins == ("*",)


@pytest.mark.parametrize("value", ["ward.example", "https://ward.example/", "https://a/b", "https://*.example", "null"])
def test_what_is_no_web_origin_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match="CORS_ALLOW_ORIGINS") as caught:
        ServingSettings.from_environment(ENVIRONMENT | {"CORS_ALLOW_ORIGINS": f"https://ok.example,{value}"})
    assert repr(value) in str(caught.value)


def test_the_exporter_needs_no_more_than_a_stack() -> None:
    assert ExporterSettings.from_environment({"STACK_NAME": "s"}) == ExporterSettings("s", "", 15)
    assert metrics_token({}) is None and metrics_token({"METRICS_TOKEN": ""}) is None
