"""What would make a deployment to AWS fail, or succeed and then not work, read from the transformed template."""

import json
import re
import tomllib
from functools import cache
from typing import Any

import pytest

from tests.transformed import IDENTITY, ROOT, deployed, evaluated, transformed
from tests.unit.templates import RESOURCES, TEMPLATE

PARAMETERS = TEMPLATE["Parameters"]
FUNCTIONS = [name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"]
KEY = "arn:aws:kms:eu-central-1:123456789012:key/5e8a"
VPC = {"SubnetIds": "subnet-0123456789abcdef0", "SecurityGroupIds": "sg-0123456789abcdef0"}
# Other values than the defaults, for what has neither allowed values nor a number.
OTHER = {
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
    "ApiKeyValue": "k" * 20,
    "CorsAllowOrigins": "https://ward.example",
    "DataBucketName": "readmission-data-123456789012",
    "DatabaseSecretName": "other/database",
    "DefaultSource": "s3://sources/encounters.zip",
    "KmsKeyArn": KEY,
    "MetricsTokenValue": "t" * 20,
    "MlflowTrackingUri": "https://other.example",
    "ModelName": "other",
    "OidcApiKey": "off",
    "OidcAudience": "other",
    "OidcIssuer": "https://other.example",
    "OidcScopePrefix": "other/",
    "SourceBucketName": "sources",
    **VPC,
}

# With these, the stack has everything.
ALL = {**IDENTITY, "PredictionLog": "on", "ShadowRequests": "100"}


@cache
def default() -> dict[str, Any]:
    return deployed(**ALL)


@cache
def _template() -> dict[str, Any]:
    return transformed(**ALL)


def with_values(**parameters: object) -> dict[str, Any]:
    """The resources with these values; what SAM alone makes of them is that of the defaults."""
    return evaluated(_template(), **{**ALL, **parameters})


def of_type(kind: str, resources: dict[str, Any] | None = None) -> dict[str, Any]:
    found = default() if resources is None else resources
    return {name: one for name, one in found.items() if one["Type"] == kind}


def other(name: str) -> object:
    """A value of the parameter that is not its default."""
    declared = PARAMETERS[name]
    if name in OTHER:
        return OTHER[name]
    if choices := [value for value in declared.get("AllowedValues", []) if value != declared.get("Default")]:
        return choices[0]
    default_value = declared["Default"]
    changed = default_value + 1 if isinstance(default_value, int) else f"other{default_value}"
    return default_value / 2 if declared.get("MaxValue", changed) in (1, default_value) else changed


def statements(role: str, resources: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    properties = (default() if resources is None else resources)[role]["Properties"]
    return [one for policy in properties["Policies"] for one in policy["PolicyDocument"]["Statement"]]


def role_of(function: str) -> str:
    arn: str = default()[function]["Properties"]["Role"]
    return arn.rpartition(":")[2]


# ---------------------------------------------------------------- where it is deployed to
def test_the_url_of_mlflow_has_no_default_because_none_is_right_on_aws() -> None:
    assert "Default" not in PARAMETERS["MlflowTrackingUri"]


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("https://mlflow.example", True),
        ("http://internal-mlflow.eu-central-1.elb.amazonaws.com:5000", True),
        ("http://127.0.0.1:5000", True),
        ("", False),
        ("https://", False),
        ("mlflow.example", False),
        ("databricks", False),
    ],
)
def test_the_url_of_mlflow_must_be_a_url(uri: str, accepted: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS["MlflowTrackingUri"]["AllowedPattern"], uri)) is accepted


def test_only_the_configuration_of_localstack_names_a_server_of_this_machine() -> None:
    configurations = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = {name: str(one.get("deploy", {})) for name, one in configurations.items() if isinstance(one, dict)}
    assert {name for name, text in given.items() if "127.0.0.1" in text} == {"default"}


# ---------------------------------------------------------------- parameters reach the alias
def _version(resources: dict[str, Any]) -> str:
    (name,) = of_type("AWS::Lambda::Version", resources)
    return name


def _configuration(resources: dict[str, Any]) -> dict[str, Any]:
    """What a version is a copy of: all but the concurrency, which is the function's, and the description."""
    properties = resources["PredictFunction"]["Properties"]
    return {
        name: properties[name] for name in properties if name not in ("Description", "ReservedConcurrentExecutions")
    }


def _reaching() -> list[str]:
    """The parameters that change the configuration of the inference function."""
    before = _configuration(with_values())
    network = VPC if "SubnetIds" in PARAMETERS else {}
    changes = {name: {name: other(name)} for name in PARAMETERS if PARAMETERS[name].get("AllowedValues") != [""]}
    changes |= {name: network for name in network}
    return [name for name, change in changes.items() if _configuration(with_values(**change)) != before]


REACHING = _reaching()


def test_the_parameters_of_the_inference_function_are_found() -> None:
    assert {"MlflowTrackingUri", "ModelName", "CorsAllowOrigins", "SnapStart", "SubnetIds"} <= set(REACHING)


@pytest.mark.parametrize("name", REACHING)
def test_a_change_of_a_parameter_publishes_a_version_to_which_the_alias_moves(name: str) -> None:
    changed = deployed(**{**ALL, name: other(name)})
    assert _version(changed) != _version(default())
    (alias,) = of_type("AWS::Lambda::Alias", changed).values()
    assert alias["Properties"]["FunctionVersion"] == f"{_version(changed)}.Version"


def test_the_description_of_the_inference_function_shows_none_of_the_parameters() -> None:
    assert default()["PredictFunction"]["Properties"]["Description"].strip() == "The inference API."


def test_the_same_parameters_publish_no_version() -> None:
    assert _version(deployed(**ALL)) == _version(default())


# ---------------------------------------------------------------- buckets
@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_a_bucket_is_kept_but_not_by_a_first_deployment_that_fails(name: str) -> None:
    bucket = default()[name]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_name_of_the_data_bucket_is_of_one_account_and_region() -> None:
    assert default()["DataBucket"]["Properties"]["BucketName"] == "readmission-data-123456789012-eu-central-1"


def test_a_stack_of_an_earlier_release_can_keep_its_data_bucket() -> None:
    name = "readmission-data-123456789012"
    assert with_values(DataBucketName=name)["DataBucket"]["Properties"]["BucketName"] == name


# ---------------------------------------------------------------- gateway
def _open_routes() -> set[tuple[str, str]]:
    """Method and path of each route that needs no key."""
    return {route for route, operation in _operations().items() if operation["security"] == []}


def _operations() -> dict[tuple[str, str], Any]:
    paths = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
    return {
        (method.upper(), path): operation for path, methods in paths.items() for method, operation in methods.items()
    }


def _throttled(resources: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    settings = resources["Apiv1Stage"]["Properties"]["MethodSettings"]
    return {
        (one["HttpMethod"], "/" + one["ResourcePath"].removeprefix("/~1").replace("~1", "/")): (
            one["ThrottlingRateLimit"],
            one["ThrottlingBurstLimit"],
        )
        for one in settings
    }


@pytest.mark.parametrize("route", sorted(_open_routes()), ids=" ".join)
def test_a_route_that_needs_no_key_is_throttled_at_the_stage(route: tuple[str, str]) -> None:
    assert _throttled(with_values(OpenThrottleRate=3, OpenThrottleBurst=5))[route] == (3, 5)


@pytest.mark.parametrize("route", [("GET", "/model/history"), ("HEAD", "/model/history"), ("POST", "/outcomes")])
def test_a_route_that_queries_postgres_at_each_request_is_throttled_at_the_stage(route: tuple[str, str]) -> None:
    assert route in _throttled(default())


def test_throttles_are_of_routes_that_exist() -> None:
    assert _throttled(default()).keys() <= _operations().keys()


def test_the_access_log_holds_neither_paths_nor_queries_of_clients() -> None:
    (line,) = [default()["Apiv1Stage"]["Properties"]["AccessLogSetting"]["Format"]]
    fields = json.loads(line.replace("$context.requestTimeEpoch", "0"))
    assert fields["route"] == "$context.resourcePath"
    assert not re.search(r"context\.(path|requestOverride|authorizer)\b|querystring", line)


def test_the_access_log_waits_for_the_role_of_the_account() -> None:
    stage = default()["Apiv1Stage"]["Properties"]
    assert stage["AccessLogSetting"]["DestinationArn"] == "arn:aws:…:ApiLogs"
    assert {"Key": "account", "Value": "ApiGatewayAccount"} in default()["ApiLogs"]["Properties"]["Tags"]
    assert default()["ApiGatewayAccount"]["Properties"]["CloudWatchRoleArn"] == "arn:aws:…:ApiGatewayRole"


def test_the_role_of_the_account_outlives_the_stack() -> None:
    kept = {default()[name]["DeletionPolicy"] for name in ("ApiGatewayRole", "ApiGatewayAccount")}
    assert kept == {"RetainExceptOnCreate"}


@pytest.mark.parametrize("off", ["AccessLog", "ApiGatewayAccountRole"])
def test_a_stack_leaves_the_account_alone_where_it_is_told_to(off: str) -> None:
    resources = with_values(**{off: "off"})
    assert "ApiGatewayAccount" not in resources and "ApiGatewayRole" not in resources
    assert ("AccessLogSetting" in resources["Apiv1Stage"]["Properties"]) is (off != "AccessLog")


@pytest.mark.parametrize(
    ("parameter", "function"),
    [
        ("PredictConcurrency", "PredictFunction"),
        ("HistoryConcurrency", "HistoryFunction"),
        ("OutcomesConcurrency", "OutcomesFunction"),
    ],
)
def test_concurrency_is_reserved_only_where_it_is_asked_for(parameter: str, function: str) -> None:
    """New accounts have a concurrency of 10, of which nothing can be reserved."""
    reserved = {name: "ReservedConcurrentExecutions" in default()[name]["Properties"] for name in FUNCTIONS}
    assert not any(reserved.values())
    assert with_values(**{parameter: 5})[function]["Properties"]["ReservedConcurrentExecutions"] == 5


# ---------------------------------------------------------------- logs, roles and keys
def test_no_function_shares_its_role_or_its_logs() -> None:
    properties = [default()[name]["Properties"] for name in FUNCTIONS]
    for values in ({one["Role"] for one in properties}, {one["LoggingConfig"]["LogGroup"] for one in properties}):
        assert len(values) == len(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_into_its_log_group_alone(name: str) -> None:
    group = default()[name]["Properties"]["LoggingConfig"]["LogGroup"]
    written = [one for one in statements(role_of(name)) if "logs:PutLogEvents" in one["Action"]]
    audit = [one["Resource"] for one in written if "AuditLogs" in one["Resource"]]
    assert [one["Resource"] for one in written] == [f"arn:aws:…:{group}", *audit]
    assert len(audit) == (name == "PredictFunction")
    assert not any("BasicExecution" in arn for arn in default()[role_of(name)]["Properties"]["ManagedPolicyArns"])


@pytest.mark.parametrize("name", of_type("AWS::Logs::LogGroup").keys() - {"AuditLogs"})  # has its own key and time
def test_logs_are_kept_as_long_as_the_parameter_says_and_encrypted_by_the_key_that_is_given(name: str) -> None:
    assert "KmsKeyId" not in default()[name]["Properties"]
    properties = with_values(LogRetentionDays=30, KmsKeyArn=KEY)[name]["Properties"]
    assert (properties["RetentionInDays"], properties["KmsKeyId"]) == (30, KEY)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_make_network_interfaces_only_in_a_vpc(name: str) -> None:
    network = "arn:aws:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
    inside = with_values(**VPC)
    assert network not in default()[role_of(name)]["Properties"]["ManagedPolicyArns"]
    assert "VpcConfig" not in default()[name]["Properties"]
    may = network in inside[role_of(name)]["Properties"]["ManagedPolicyArns"]
    # These two are never in the VPC.
    assert (
        may
        == ("VpcConfig" in inside[name]["Properties"])
        == (name not in ("MetricsFunction", "AuthorizeFunction", "JobsFunction"))
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_use_the_key_that_is_given_and_no_other(name: str) -> None:
    def used(found: list[dict[str, Any]]) -> dict[str, str]:
        return {one["Action"]: one["Resource"] for one in found if "kms:" in str(one["Action"])}

    assert used(statements(role_of(name))) == {}
    keyed = with_values(KmsKeyArn=KEY)
    writes = (
        {"kms:GenerateDataKey": KEY}
        if name in ("PlanFunction", "PredictFunction", "EraseFunction", "MonitorFunction", "ScoreFunction")
        else {}
    )
    assert used(statements(role_of(name), keyed)) == {"kms:Decrypt": KEY, **writes}
    assert keyed[name]["Properties"]["KmsKeyArn"] == KEY


# ---------------------------------------------------------------- code
def test_a_new_version_takes_over_by_a_canary_that_an_alarm_stops() -> None:
    group = default()["PredictFunctionDeploymentGroup"]["Properties"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": "NewVersionAlarm"}]}
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_the_alarm_of_a_new_version_goes_off_within_the_shortest_canary_at_its_share_of_the_requests() -> None:
    alarm = default()["NewVersionAlarm"]["Properties"]
    longest = max(query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query)
    assert longest * alarm["EvaluationPeriods"] < 5 * 60
    assert alarm["Threshold"] < 0.10


@pytest.mark.parametrize("kind", [kind for kind in PARAMETERS["CodeDeployment"]["AllowedValues"] if kind != "off"])
def test_every_kind_of_deployment_is_one_that_codedeploy_has(kind: str) -> None:
    mapping = TEMPLATE["Mappings"]["CodeDeployments"]
    assert mapping[kind] == {"Enabled": "true", "Type": kind}


def test_where_there_is_no_codedeploy_the_alias_moves_at_once() -> None:
    resources = deployed(CodeDeployment="off", **ALL)
    assert not any("CodeDeploy" in one["Type"] for one in resources.values())
    assert "UpdatePolicy" not in resources["PredictFunctionAliaslive"]


def test_localstack_has_no_codedeploy() -> None:
    configurations = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert "CodeDeployment=off" in configurations["default"]["deploy"]["parameters"]["parameter_overrides"]
