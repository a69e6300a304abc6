"""Every call of AWS in the code is allowed by the role of each function that can reach it, and nothing else is."""

from pathlib import Path

import pytest

from tests.aws_calls import ROOT, actions
from tests.documents import DOCS, rows
from tests.transformed import IDENTITY, deployed

RESOURCES = deployed(
    DatabasePipelineSecretName="database/pipeline",
    DatabaseReaderSecretName="database/reader",
    MlflowSecretName="mlflow/login",
    PatientHistory="on",
    PredictionLog="on",
    ShadowRequests="100",
    RetrainOnAlert="on",
    **IDENTITY,
)
FUNCTIONS = [name for name, one in RESOURCES.items() if one["Type"] == "AWS::Lambda::Function"]
# What needs no call: Lambda writes the logs and fetches the messages of a queue, KMS is asked by the services, and S3
# denies access to an object that does not exist, unless the role may list the bucket.
WITHOUT_CALL = ("logs:", "kms:", "s3:ListBucket", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def folder_of(function: str) -> str:
    return function.removesuffix("Function").lower()


def allowed(role: str) -> dict[str, list[str]]:
    """The resources of each action."""
    found: dict[str, list[str]] = {}
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            names, resources = statement["Action"], statement["Resource"]
            for name in [names] if isinstance(names, str) else names:
                found.setdefault(name, []).extend([resources] if isinstance(resources, str) else resources)
    return found


def of_function(function: str) -> dict[str, list[str]]:
    return allowed(RESOURCES[function]["Properties"]["Role"].rpartition(":")[2])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_its_code_can_reach_and_nothing_else(function: str) -> None:
    given = {name for name in of_function(function) if not name.startswith(WITHOUT_CALL)}
    reached = actions(ROOT / "functions" / folder_of(function) / "app.py")
    assert given == {name for name in reached if not name.startswith(WITHOUT_CALL)}


def test_the_search_finds_calls_through_functions_methods_paginators_and_other_modules(tmp_path: Path) -> None:
    entry = tmp_path / "app.py"
    entry.write_text(
        "from readmission.pipeline import executions\n"
        "class Store:\n"
        "    def save(self, client): client.upload_file('a', 'b', 'c')\n"
        "def handler(event, context): return executions.states(event, Store())\n"
    )
    assert actions(entry) == {"s3:PutObject", "states:GetExecutionHistory"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_metrics_are_read_without_limit(function: str) -> None:
    """CloudWatch's actions know no resources."""
    unlimited = {name for name, resources in of_function(function).items() if "*" in resources}
    assert unlimited == ({"cloudwatch:GetMetricData", "cloudwatch:ListMetrics"} & of_function(function).keys())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_read_exactly_the_secrets_that_its_variables_name(function: str) -> None:
    variables = RESOURCES[function]["Properties"].get("Environment", {}).get("Variables", {})
    named = [value for name, value in variables.items() if name.endswith("_SECRET")]
    may = of_function(function).get("secretsmanager:GetSecretValue", [])
    assert len(may) == len(named) and all(any(name in arn for arn in may) for name in named)


def test_the_inference_function_reads_no_secret_of_the_database_unless_it_looks_up_histories() -> None:
    off = deployed(DatabaseReaderSecretName="database/reader")
    (policy,) = off["PredictRole"]["Properties"]["Policies"]
    assert "secretsmanager" not in str(policy)
    assert off["PredictFunction"]["Properties"]["Environment"]["Variables"]["DATABASE_SECRET"] == ""


def test_one_function_sends_to_the_queue_of_the_prediction_log_and_another_one_takes_from_it() -> None:
    may = {function: {name for name in of_function(function) if name.startswith("sqs:")} for function in FUNCTIONS}
    assert {function: names for function, names in may.items() if names} == {
        "PredictFunction": {"sqs:SendMessage"},
        "RecordFunction": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    }
    resources = [arn for name in ("Predict", "Record") for arns in sqs_of(name).values() for arn in arns]
    assert set(resources) == {"arn:aws:…:PredictionQueue"}


def sqs_of(function: str) -> dict[str, list[str]]:
    return {name: arns for name, arns in of_function(f"{function}Function").items() if name.startswith("sqs:")}


def test_without_the_prediction_log_there_is_nothing_of_it() -> None:
    off = deployed()
    assert not {"PredictionQueue", "PredictionDeadLetters", "PatientKey", "RecordFunction", "RecordRole"} & off.keys()
    (policy,) = off["PredictRole"]["Properties"]["Policies"]
    assert "sqs" not in str(policy) and "s3" not in str(policy)
    variables = off["PredictFunction"]["Properties"]["Environment"]["Variables"]
    assert {variables[name] for name in ("PREDICTION_QUEUE_URL", "PATIENT_KEY_SECRET", "DATA_BUCKET")} == {""}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_without_a_bucket_in_its_variables_may_not_use_s3(function: str) -> None:
    variables = RESOURCES[function]["Properties"].get("Environment", {}).get("Variables", {})
    assert ("DATA_BUCKET" in variables) is any(name.startswith("s3:") for name in of_function(function))


def test_the_pages_need_the_permissions_of_their_table() -> None:
    listed = set()
    for row in rows(DOCS / "pages.md", "## Access"):
        names = [name.strip("` ") for name in row[0].split(",")]
        service = names[0].partition(":")[0]
        listed |= {name if ":" in name else f"{service}:{name}" for name in names if "`" in row[0]}
    assert actions(*(ROOT / "ui").rglob("*.py")) == listed


def test_the_state_machine_may_invoke_functions_list_its_executions_and_write_logs_and_traces() -> None:
    given = {name for name in allowed("PipelineRole") if not name.startswith(("logs:", "xray:"))}
    assert given == {"lambda:InvokeFunction", "states:ListExecutions"}
