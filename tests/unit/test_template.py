"""The API in template.yaml: the gateway's own refusals, and optional features."""

import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from readmission.domain import jobs
from readmission.serving.schemas import Problem
from readmission.settings import AuthorizeSettings, GatewaySettings

from tests.transformed import deployed
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


_GUARDED = {"If": ["HasIssuer", [{"api_key": []}, {"oidc": []}], [{"api_key": []}]]}


def _security() -> dict[tuple[str, str], Any]:
    """What each operation of the API's definition asks for."""
    paths = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
    methods = {"x-amazon-apigateway-any-method": "ANY"}
    return {
        (methods.get(name, name.upper()), path): operation["security"]
        for path, item in paths.items()
        for name, operation in item.items()
    }


def _behind() -> dict[tuple[str, str], str]:
    """The function behind each operation, as the API's definition has it."""
    paths = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
    found = {}
    for path, item in paths.items():
        for name, operation in item.items():
            integration = operation["x-amazon-apigateway-integration"]
            assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
            (function,) = re.findall(r"/functions/\$\{(\w+)\.(?:Arn|Alias)\}/invocations$", integration["uri"]["Sub"])
            found["ANY" if name == "x-amazon-apigateway-any-method" else name.upper(), path] = function
    return found


def test_every_operation_says_who_may_ask_and_reaches_the_function_whose_event_it_is() -> None:
    events = {
        (event["Properties"]["Method"], event["Properties"]["Path"]): name
        for name, one in RESOURCES.items()
        for event in one.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    }
    assert _behind() == events and _security().keys() == events.keys()


def test_a_function_with_an_alias_is_called_by_it() -> None:
    text = str(RESOURCES["Api"]["Properties"]["DefinitionBody"])
    for name, one in RESOURCES.items():
        if "AutoPublishAlias" in one.get("Properties", {}):
            assert f"${{{name}.Alias}}" in text and f"${{{name}.Arn}}" not in text


_PREFLIGHTS = ("/{proxy+}", "/model", "/model/history", "/outcomes", "/monitor", "/jobs", "/jobs/{id}")


def test_only_documentation_metrics_and_preflights_need_neither_key_nor_token() -> None:
    needs_nothing = {operation for operation, security in _security().items() if security == []}
    assert needs_nothing == {
        *((method, path) for method in ("GET", "HEAD") for path in ("/docs", "/docs/{file}", "/openapi.json")),
        *((method, "/metrics") for method in ("GET", "HEAD")),
        *(("OPTIONS", path) for path in _PREFLIGHTS),
    }
    assert all(security == _GUARDED for operation, security in _security().items() if operation not in needs_nothing)
    events = [event for one in RESOURCES.values() for event in one.get("Properties", {}).get("Events", {}).values()]
    assert not any("Auth" in event["Properties"] for event in events) and "Auth" not in RESOURCES["Api"]["Properties"]


def test_without_an_issuer_there_is_no_authorizer_and_the_key_is_the_headers() -> None:
    api = RESOURCES["Api"]["Properties"]
    assert api["ApiKeySourceType"] == {"If": ["HasIssuer", "AUTHORIZER", "HEADER"]}
    assert api["DefinitionBody"]["x-amazon-apigateway-api-key-source"] == api["ApiKeySourceType"]
    schemes = api["DefinitionBody"]["securityDefinitions"]
    assert schemes["oidc"]["If"][0] == "HasIssuer" and schemes["oidc"]["If"][2] == {"Ref": "AWS::NoValue"}
    issuers = ("OidcIssuer", "EhrIssuers")
    assert {TEMPLATE["Parameters"][name]["Default"] for name in issuers} == {""}
    given = [{"Not": [{"Equals": [{"Ref": name}, ""]}]} for name in issuers]
    assert TEMPLATE["Conditions"]["HasIssuer"] == {"Or": given}
    of_identity = ("AuthorizeFunction", "AuthorizePermission", "AuditEncryption", "AuditLogs", "AuditKey")
    assert {RESOURCES[name]["Condition"] for name in of_identity} == {"HasIssuer"}


def test_an_answer_of_the_authorizer_is_not_kept() -> None:
    scheme = RESOURCES["Api"]["Properties"]["DefinitionBody"]["securityDefinitions"]["oidc"]["If"][1]
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["authorizerResultTtlInSeconds"]) == ("request", 0)
    function = RESOURCES["AuthorizeFunction"]["Properties"]["FunctionName"]["Sub"]
    assert f":function:{function}/invocations" in authorizer["authorizerUri"]["Sub"]


def test_a_change_of_a_parameter_reaches_the_stage() -> None:
    assert RESOURCES["Api"]["Properties"]["AlwaysDeploy"] is True


def test_a_token_that_cannot_be_checked_is_503_and_a_bad_one_is_challenged() -> None:
    assert RESPONSES["AUTHORIZER_FAILURE"]["StatusCode"] == 503
    assert RESPONSES["AUTHORIZER_CONFIGURATION_ERROR"]["StatusCode"] == 503
    assert "Bearer" in RESPONSES["UNAUTHORIZED"]["ResponseParameters"]["Headers"]["WWW-Authenticate"]


def test_every_function_behind_the_gateway_knows_the_issuer() -> None:
    for name, resource in RESOURCES.items():
        if any(event["Type"] == "Api" for event in resource.get("Properties", {}).get("Events", {}).values()):
            variables = resource["Properties"]["Environment"]["Variables"]
            assert variables["OIDC_ISSUER"] == {"Ref": "OidcIssuer"}, name
            assert variables["OIDC_AUDIENCE"] == {"Ref": "OidcAudience"}, name
            # The metrics need no authorizer: their function looks at the token itself, and knows no EHRs.
            assert (variables.get("EHR_ISSUERS") == {"Ref": "EhrIssuers"}) == (name != "MetricsFunction"), name


PAIR = "https://ehr.example=https://ehr.example/jwks.json"


@pytest.mark.parametrize("listed", ["", PAIR, f"{PAIR},urn:b=https://b.example/k?x=1", "a=http://localhost:80/k"])
def test_pairs_of_an_issuer_and_the_address_of_its_keys_name_the_ehrs(listed: str) -> None:
    assert re.fullmatch(TEMPLATE["Parameters"]["EhrIssuers"]["AllowedPattern"], listed)


@pytest.mark.parametrize(
    "listed",
    [
        "https://ehr.example",
        "a=http://ehr.example/k",
        "a=http://localhost.evil.example/k",
        f"{PAIR}, {PAIR}",
        "=https://a",
    ],
)
def test_what_names_no_ehr_or_has_keys_that_others_can_change_is_not_deployed(listed: str) -> None:
    assert not re.fullmatch(TEMPLATE["Parameters"]["EhrIssuers"]["AllowedPattern"], listed)


def test_ehrs_alone_turn_the_authorizer_on_and_leave_the_api_key_what_it_opens() -> None:
    stack = deployed(EhrIssuers=PAIR, OidcApiKey="off")
    authorize = stack["AuthorizeFunction"]["Properties"]["Environment"]["Variables"]
    found = AuthorizeSettings.from_environment(authorize)
    assert (found.identity, found.api_key) == (None, True)
    assert found.ehr_trust and [ehr.issuer for ehr in found.ehr_trust.ehrs] == ["https://ehr.example"]
    definition = stack["Api"]["Properties"]["Body"]
    assert definition["x-amazon-apigateway-api-key-source"] == "AUTHORIZER"
    everything = definition["paths"]["/{proxy+}"]["x-amazon-apigateway-any-method"]
    assert everything["security"] == [{"api_key": []}, {"oidc": []}]
    for name in ("PredictFunction", "HistoryFunction", "OutcomesFunction"):
        assert GatewaySettings.from_environment(stack[name]["Properties"]["Environment"]["Variables"]).identified
    assert stack["PredictFunction"]["Properties"]["Environment"]["Variables"]["AUDIT_LOG_GROUP"] == "AuditLogs"


def test_ehrs_find_the_api_at_its_own_address_unless_another_is_given() -> None:
    url = RESOURCES["AuthorizeFunction"]["Properties"]["Environment"]["Variables"]["EHR_BASE_URL"]
    assert url == {"If": ["HasEhrBaseUrl", {"Ref": "EhrBaseUrl"}, TEMPLATE["Outputs"]["ApiUrl"]["Value"]]}


def test_the_audit_log_is_encrypted_kept_and_written_by_predict_alone() -> None:
    log = RESOURCES["AuditLogs"]
    assert log["Properties"]["KmsKeyId"] == {"GetAtt": "AuditEncryption.Arn"}
    assert log["Properties"]["RetentionInDays"] == {"Ref": "AuditRetentionDays"}
    assert RESOURCES["AuditEncryption"]["Properties"]["EnableKeyRotation"]
    kept = ("AuditLogs", "AuditEncryption", "AuditKey")
    assert {RESOURCES[name]["DeletionPolicy"] for name in kept} == {"RetainExceptOnCreate"}
    (policy,) = RESOURCES["PredictRole"]["Properties"]["Policies"]
    conditional = [one["If"] for one in policy["PolicyDocument"]["Statement"] if "If" in one]
    (write, read) = (statement for condition, statement, _ in conditional if condition == "HasIssuer")
    assert (
        write["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"] and "${AuditLogs}" in write["Resource"]["Sub"]
    )
    assert read["Resource"] == {"Ref": "AuditKey"}
    users = [name for name, one in RESOURCES.items() if name not in kept and "AuditLogs" in str(one.get("Properties"))]
    assert users == ["PredictFunction", "PredictRole"]


def test_every_path_that_a_web_page_may_ask_answers_preflights() -> None:
    """A resource of its own is not covered by /{proxy+}. Only Prometheus asks /metrics."""
    asked = {path for (_, path), security in _security().items() if security != []}
    answering = {path for (method, path), security in _security().items() if method == "OPTIONS" and security == []}
    assert asked == answering
    for name in ("PredictFunction", "HistoryFunction", "OutcomesFunction"):
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
        properties = function["Properties"] if function["Type"] == "AWS::Serverless::Function" else {}
        variables = properties.get("Environment", {}).get("Variables", {})
        asks = "MLFLOW_TRACKING_URI" in variables
        role = RESOURCES.get(properties.get("Role", {}).get("GetAtt", "").partition(".")[0], {})
        may = "${MlflowSecretName}-??????" in json.dumps(role)
        assert (name, asks) == (name, may)
        if name in ("PredictFunction", "ScoreFunction"):
            secret = {"If": ["HasMlflowReaderSecret", {"Ref": "MlflowReaderSecretName"}, {"Ref": "MlflowSecretName"}]}
            assert variables["MLFLOW_SECRET"] == secret
        elif asks:
            assert variables["MLFLOW_SECRET"] == {"Ref": "MlflowSecretName"}


@pytest.mark.parametrize("name", ["Predict", "Score"])
def test_functions_that_only_read_models_read_the_secret_of_mlflows_reader_alone(name: str) -> None:
    with_reader = deployed(MlflowSecretName="mlflow/pipeline", MlflowReaderSecretName="mlflow/reader")
    variables = with_reader[f"{name}Function"]["Properties"]["Environment"]["Variables"]
    assert variables["MLFLOW_SECRET"] == "mlflow/reader"
    role = json.dumps(with_reader[f"{name}Role"])
    assert "secret:mlflow/reader-??????" in role and "mlflow/pipeline" not in role
    assert "secret:mlflow/reader" not in json.dumps(with_reader["TrainRole"])


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
    assert function["Environment"]["Variables"]["METRICS_TOKEN_SECRET"] == {"Ref": "MetricsToken"}
    document = RESOURCES["MetricsRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    may = {str(one["Action"]): one["Resource"] for one in document["Statement"] if "Action" in one}
    assert may == {
        "['logs:CreateLogStream', 'logs:PutLogEvents']": {"GetAtt": "MetricsLogs.Arn"},
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


def test_histories_are_not_looked_up_by_default() -> None:
    assert TEMPLATE["Parameters"]["PatientHistory"]["Default"] == "off"
    assert TEMPLATE["Conditions"]["LooksUpHistory"] == {"Equals": [{"Ref": "PatientHistory"}, "on"]}


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


def test_every_file_that_is_uploaded_to_be_scored_is_deleted_in_the_end() -> None:
    rules = RESOURCES["DataBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert {days[jobs.INCOMING], days[jobs.UPLOADS]} == {30}
