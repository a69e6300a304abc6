"""The API in template.yaml: the gateway's own refusals, and optional features."""

import json
from http import HTTPStatus

import pytest
from readmission.serving.schemas import Problem

from tests.unit.templates import RESOURCES, TEMPLATE

RESPONSES = RESOURCES["Api"]["Properties"]["GatewayResponses"]


@pytest.mark.parametrize("name", RESPONSES)
def test_what_the_gateway_refuses_is_a_problem_document_of_the_application(name: str) -> None:
    response = RESPONSES[name]
    (text,) = response["ResponseTemplates"].values()
    problem = Problem.model_validate_json(text, strict=True, extra="forbid")
    assert problem.status == response["StatusCode"]
    assert (problem.type, problem.title) == ("about:blank", HTTPStatus(problem.status).phrase)
    assert (problem.instance, problem.request_id) == ("$context.path", "$context.requestId")
    assert json.loads(text).keys() == Problem.model_fields.keys() - {"errors"}
    assert response["ResponseParameters"]["Headers"]["Content-Type"] == "'application/problem+json'"


def test_what_no_other_response_covers_has_one() -> None:
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= RESPONSES.keys()


def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    waits = {name: one["ResponseParameters"]["Headers"].get("Retry-After") for name, one in RESPONSES.items()}
    assert {name: wait for name, wait in waits.items() if wait} == {"THROTTLED": "'1'", "QUOTA_EXCEEDED": "'3600'"}
    assert all(RESPONSES[name]["StatusCode"] == 429 for name in ("THROTTLED", "QUOTA_EXCEEDED"))


def test_the_key_is_throttled_by_the_parameters() -> None:
    plan = RESOURCES["ApiUsagePlan"]["Properties"]
    assert plan["Throttle"] == {"RateLimit": {"Ref": "ThrottleRate"}, "BurstLimit": {"Ref": "ThrottleBurst"}}
    assert plan["Quota"] == {"Limit": {"Ref": "DailyQuota"}, "Period": "DAY"}


def test_only_documentation_and_preflights_need_no_key() -> None:
    assert RESOURCES["Api"]["Properties"]["Auth"] == {"ApiKeyRequired": True}
    events = [event["Properties"] for event in RESOURCES["PredictFunction"]["Properties"]["Events"].values()]
    assert {(event["Method"], event["Path"]) for event in events if "Auth" in event} == {
        *((method, path) for method in ("GET", "HEAD") for path in ("/docs", "/docs/{file}", "/openapi.json")),
        *(("OPTIONS", path) for path in ("/{proxy+}", "/model", "/model/history")),
    }


def test_every_path_that_a_web_page_may_ask_answers_preflights() -> None:
    """A resource of its own is not covered by /{proxy+}. Only Prometheus asks /metrics."""
    events = [
        (event["Properties"]["Path"], event["Properties"]["Method"], event["Properties"].get("Auth"))
        for one in RESOURCES.values()
        for event in one.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    asked = {path for path, _, auth in events if auth is None}
    answering = {path for path, method, auth in events if method == "OPTIONS" and auth == {"ApiKeyRequired": False}}
    assert asked == answering
    for name in ("PredictFunction", "HistoryFunction"):
        variables = RESOURCES[name]["Properties"]["Environment"]["Variables"]
        assert variables["CORS_ALLOW_ORIGINS"] == {"Ref": "CorsAllowOrigins"}


def test_without_a_way_to_the_internet_the_default_source_is_in_s3() -> None:
    source = RESOURCES["PlanFunction"]["Properties"]["Environment"]["Variables"]["DEFAULT_SOURCE"]
    (named, given, otherwise) = source["If"]
    assert (named, given) == ("HasDefaultSource", {"Ref": "DefaultSource"})
    in_vpc, key, url = otherwise["If"]
    assert (in_vpc, key) == ("InVpc", {"Sub": "s3://${DataBucket}/sources/dataset_diabetes.zip"})
    assert url.startswith("https://archive.ics.uci.edu/")


def test_the_metrics_function_is_never_in_a_vpc() -> None:
    """It needs CloudWatch and Secrets Manager alone, and in a VPC both would need an endpoint or a NAT gateway."""
    assert RESOURCES["MetricsFunction"]["Properties"]["VpcConfig"] == {"Ref": "AWS::NoValue"}


def test_the_functions_that_ask_mlflow_may_read_its_secret_if_one_is_named() -> None:
    assert TEMPLATE["Parameters"]["MlflowSecretName"]["Default"] == ""
    for name, function in RESOURCES.items():
        properties = function.get("Properties", {})
        variables = properties.get("Environment", {}).get("Variables", {})
        asks = "MLFLOW_TRACKING_URI" in variables
        may = "${MlflowSecretName}-??????" in json.dumps(properties.get("Policies", []))
        assert (name, asks) == (name, may)
        if asks:
            assert variables["MLFLOW_SECRET"] == {"Ref": "MlflowSecretName"}


def test_every_path_that_answers_get_answers_head() -> None:
    events = [
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for one in RESOURCES.values()
        for event in one.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    answering = {method: {path for found, path in events if found == method} for method in ("GET", "HEAD", "ANY")}
    assert answering["HEAD"] == answering["GET"] and answering["ANY"] == {"/{proxy+}"}


def test_the_metrics_are_guarded_by_a_token_that_only_their_function_may_read() -> None:
    function = RESOURCES["MetricsFunction"]["Properties"]
    events = [event["Properties"] for event in function["Events"].values()]
    assert [(event["Method"], event["Path"]) for event in events] == [("GET", "/metrics"), ("HEAD", "/metrics")]
    assert all(event["Auth"] == {"ApiKeyRequired": False} for event in events)
    assert function["Environment"]["Variables"]["METRICS_TOKEN_SECRET"] == {"Ref": "MetricsToken"}
    may = {str(one["Action"]): one["Resource"] for policy in function["Policies"] for one in policy["Statement"]}
    assert may == {
        "['cloudwatch:GetMetricData', 'cloudwatch:ListMetrics']": "*",
        "secretsmanager:GetSecretValue": {"Ref": "MetricsToken"},
    }


def test_a_token_that_nobody_gave_is_made_up() -> None:
    token = RESOURCES["MetricsToken"]["Properties"]
    nothing = {"Ref": "AWS::NoValue"}
    assert token["SecretString"] == {"If": ["HasMetricsTokenValue", {"Ref": "MetricsTokenValue"}, nothing]}
    made = {"PasswordLength": 40, "ExcludePunctuation": True}
    assert token["GenerateSecretString"] == {"If": ["HasMetricsTokenValue", nothing, made]}
    assert TEMPLATE["Parameters"]["MetricsTokenValue"]["NoEcho"]


@pytest.mark.parametrize(
    ("condition", "parameter"),
    [("AllowsOrigins", "CorsAllowOrigins"), ("HasProvisionedConcurrency", "ProvisionedConcurrency")],
)
def test_what_costs_or_opens_something_is_off_by_default(condition: str, parameter: str) -> None:
    ((_, values),) = TEMPLATE["Conditions"][condition]["Not"][0].items()
    assert values == [{"Ref": parameter}, TEMPLATE["Parameters"][parameter]["Default"]]


def test_snapshots_are_off_by_default() -> None:
    assert TEMPLATE["Parameters"]["SnapStart"]["Default"] == "off"
    assert TEMPLATE["Conditions"]["HasSnapStart"] == {"Equals": [{"Ref": "SnapStart"}, "on"]}


def test_a_change_of_the_package_alone_gets_behind_the_alias() -> None:
    function = RESOURCES["PredictFunction"]["Properties"]
    assert function["AutoPublishAlias"] and function["AutoPublishAliasAllProperties"]
    for layer in function["Layers"]:
        assert RESOURCES[layer["Ref"]]["Properties"]["PublishLambdaVersion"]


def test_the_inference_function_does_not_keep_the_memory_of_the_models_before() -> None:
    variables = RESOURCES["PredictFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["MALLOC_ARENA_MAX"] == 1
