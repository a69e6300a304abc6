"""The tables of the documentation say what the code says."""

import re
from typing import Any

import pytest
from readmission import errors
from readmission.domain.payloads import STAGES, Plan
from readmission.settings import ApiProcessSettings, ApiServerSettings, ServingSettings
from readmission.telemetry.metrics import METRICS

from tests.documents import DOCS, code_in, rows
from tests.unit.templates import TEMPLATE

PARAMETERS = "## Parameters of the template"
SERVER = "## Settings of the API without Lambda"


def test_the_metrics_table_lists_every_metric_as_it_is_written() -> None:
    listed = [tuple(row) for row in rows(DOCS / "operations.md", "## Metrics")][2:]
    assert listed == [
        (
            f"`{metric.name}`",
            metric.kind,
            "" if metric.unit == "None" else metric.unit.lower(),
            ", ".join(metric.services),
            ", ".join(f"`{name}`" for name in metric.dimensions),
        )
        for metric in METRICS
    ]


def test_the_error_table_lists_every_error_of_the_pipeline_and_which_are_retried() -> None:
    served = {
        "ApiKeyInvalid",
        "AuditUnavailable",
        "ExplanationUnavailable",
        "IdentityUnavailable",
        "JobsUnavailable",
        "MessageInvalid",
        "MetricsUnavailable",
        "ModelUnavailable",
        "NotMigrated",
        "PatientKeyUnavailable",
        "PredictionNotLogged",
        "ScopeMissing",
        "ScorerInvalid",
        "TokenInvalid",
        "TokenUnavailable",
    }  # errors of the functions behind the gateway, which answer them, of scoring jobs, and of the prediction log
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    refused = errors.RollbackRefused | errors.ChallengeRefused | errors.RebuildImpossible
    kinds = [kind for kind in kinds if not issubclass(kind, refused)]
    named_errors = {kind.__name__ for kind in kinds} - {"ReadmissionError", "Transient"} - served
    listed = rows(DOCS / "pipeline.md", "## Pipeline errors")
    assert set().union(*(code_in(row[0]) for row in listed)) == named_errors
    retried = set().union(*(code_in(row[0]) for row in listed if row[2] == "yes"))
    assert retried == {kind.__name__ for kind in errors.Transient.__subclasses__()}


def test_the_rollback_table_lists_every_error_of_a_rollback() -> None:
    refusals = {kind.__name__ for kind in errors.RollbackRefused.__subclasses__()}
    listed = set().union(*(code_in(row[0]) for row in rows(DOCS / "models.md", "## Roll back")))
    assert listed == refusals | {"InvalidRequest"}


def test_the_parameter_table_lists_every_parameter_of_the_template() -> None:
    listed = set().union(*(code_in(row[0]) for row in rows(DOCS / "configuration.md", PARAMETERS)))
    assert listed == set(TEMPLATE["Parameters"])


@pytest.mark.parametrize("row", rows(DOCS / "configuration.md", PARAMETERS)[2:], ids=lambda row: row[0])
def test_the_parameter_table_has_the_defaults_of_the_template(row: list[str]) -> None:
    names = re.findall(r"`(\w+)`", row[0])
    defaults = [TEMPLATE["Parameters"][name].get("Default", "required") for name in names]
    listed = [default.strip("` ") for default in row[1].split(",")]
    assert listed == [str(default) for default in defaults] or (listed == [""] and not any(defaults))


class Asked(dict[str, str]):
    """An environment that remembers which variables were read."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_the_server_table_lists_every_variable_that_the_api_reads_without_lambda() -> None:
    required = {"MLFLOW_TRACKING_URI": "http://mlflow.example", "MODEL_NAME": "readmission"}
    tokens = {"OIDC_ISSUER": "https://login.example", "OIDC_AUDIENCE": "api", "AUDIT_KEY": "k" * 32}
    ehrs = {"EHR_ISSUERS": "https://ehr.example=https://ehr.example/jwks", "EHR_BASE_URL": "https://api.example"}
    history = {"PATIENT_HISTORY": "on", "DATABASE_SECRET": "readmission/database/reader"}
    log = {"PREDICTION_LOG": "on", "PREDICTION_QUEUE_URL": "u", "DATA_BUCKET": "b", "PATIENT_KEY": "k" * 32}
    environment = Asked(**required, **tokens, **ehrs, **history, **log, SHADOW_REQUESTS="100", METRICS_PORT="9106")
    ServingSettings.from_environment(environment)
    ApiProcessSettings.from_environment(environment)
    ApiServerSettings.from_environment(environment, default_port=8000)
    listed = set().union(*(code_in(row[0]) for row in rows(DOCS / "configuration.md", SERVER)))
    assert listed == environment.names - {"MAX_TRAINING_ROWS", "TRAINING_JOB_SECONDS"}  # of the trainings


def test_the_states_table_lists_every_field_of_the_plan() -> None:
    (row,) = [row for row in rows(DOCS / "pipeline.md", "## States") if row[0] == "Plan"]
    assert code_in(row[3]) == set(Plan.__annotations__)


def test_the_input_table_names_every_stage() -> None:
    fields = {next(iter(code_in(row[0])), ""): row for row in rows(DOCS / "pipeline.md", "## Start an execution")}
    for field in ("start_at", "stop_after"):
        assert code_in(" ".join(fields[field][1:])) >= set(STAGES)


def test_the_alarm_table_lists_every_alarm_of_the_template() -> None:
    alarms = [one for one in TEMPLATE["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    listed = set().union(*(code_in(row[0]) for row in rows(DOCS / "operations.md", "## Alarms")))
    assert {f"${{AWS::StackName}}-{name}" for name in listed} == {
        one["Properties"]["AlarmName"]["Sub"] for one in alarms
    }
