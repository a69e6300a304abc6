"""Which function of template.yaml logs in to Postgres as which user, and reads no other secret for it."""

from typing import Any

import pytest

from tests.unit.templates import RESOURCES, TEMPLATE

OWNER = {"Ref": "DatabaseSecretName"}
PIPELINE = {"If": ["HasPipelineSecret", {"Ref": "DatabasePipelineSecretName"}, OWNER]}
READER = {"If": ["HasReaderSecret", {"Ref": "DatabaseReaderSecretName"}, OWNER]}
FUNCTIONS = {
    name: one["Properties"]["Environment"]["Variables"]
    for name, one in RESOURCES.items()
    if "DATABASE_SECRET" in one.get("Properties", {}).get("Environment", {}).get("Variables", {})
}
ARN = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"


def _secrets(name: str) -> list[Any]:
    """The names in the ARNs of the database secrets that the function's role may read."""
    found = []
    role = RESOURCES[name]["Properties"]["Role"]["GetAtt"].removesuffix(".Arn")
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            condition, one, _ = statement.get("If", (None, statement, None))
            resource = one.get("Resource")
            if one.get("Action") != "secretsmanager:GetSecretValue" or not isinstance(resource, dict):
                continue
            if resource.get("Sub") == f"{ARN}${{DatabaseSecretName}}-??????":
                found.append(OWNER)
            elif isinstance(resource.get("Sub"), list):
                text, values = resource["Sub"]
                assert text == f"{ARN}${{Name}}-??????"
                found.append({"If": [condition, values["Name"], ""]} if condition else values["Name"])
    return found


def test_these_functions_use_the_database() -> None:
    steps = ("Plan", "Ingest", "Clean", "Check", "Erase", "Train", "Promote", "Guard", "Monitor", "Score")
    assert set(FUNCTIONS) == {f"{name}Function" for name in (*steps, "History", "Outcomes", "Predict", "Record")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_facing_the_internet_read_only_but_outcomes_and_others_do_not_own_the_schema(name: str) -> None:
    reading = {
        "HistoryFunction": READER,
        "MonitorFunction": READER,
        "ScoreFunction": READER,
        "PredictFunction": {"If": ["LooksUpHistory", READER, ""]},
    }
    assert FUNCTIONS[name]["DATABASE_SECRET"] == reading.get(name, PIPELINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_read_the_secrets_that_it_is_told_and_no_others(name: str) -> None:
    keys = ("DATABASE_OWNER_SECRET", "DATABASE_SECRET", "DATABASE_LOG_SECRET")
    assert _secrets(name) == [FUNCTIONS[name][key] for key in keys if key in FUNCTIONS[name]]


def test_a_job_writes_the_prediction_log_by_the_pipelines_login_and_only_if_there_is_one() -> None:
    assert FUNCTIONS["ScoreFunction"]["DATABASE_LOG_SECRET"] == {"If": ["LogsPredictions", PIPELINE, ""]}


def test_only_plan_promote_and_record_can_migrate() -> None:
    assert {name for name in FUNCTIONS if FUNCTIONS[name].get("DATABASE_OWNER_SECRET") == OWNER} == {
        "PlanFunction",
        "PromoteFunction",
        "RecordFunction",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_address_is_that_of_the_parameters_since_a_secret_of_rds_has_none(name: str) -> None:
    assert FUNCTIONS[name]["DATABASE_HOST"] == {"Ref": "DatabaseHost"}
    assert FUNCTIONS[name]["DATABASE_PORT"] == {"Ref": "DatabasePort"}
    assert FUNCTIONS[name]["DATABASE_TLS"] == {"Ref": "DatabaseTls"}


def test_a_stack_of_an_earlier_release_keeps_its_one_login() -> None:
    for parameter in ("DatabasePipelineSecretName", "DatabaseReaderSecretName", "DatabaseHost"):
        assert TEMPLATE["Parameters"][parameter]["Default"] == ""


def test_promote_has_the_variables_of_train_and_the_owners_secret() -> None:
    """Merged keys would say this, but SAM alone resolves them.

    Only train ends runs of trainings that were killed, and only promote decides whether a version is tried.
    """
    of_train = {name: value for name, value in FUNCTIONS["TrainFunction"].items() if name != "TRAINING_JOB_SECONDS"}
    of_trials = {"SHADOW_REQUESTS", "CANARY_SHARE", "LABEL_DUE_DAYS"}
    promote = {name: value for name, value in FUNCTIONS["PromoteFunction"].items() if name not in of_trials}
    assert promote == of_train | {"DATABASE_OWNER_SECRET": OWNER}
