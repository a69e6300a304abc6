"""Updates of resources that LocalStack's CloudFormation can only create."""

import json
from typing import Any

from localstack.services.apigateway.resource_providers.aws_apigateway_account import ApiGatewayAccountProvider
from localstack.services.apigateway.resource_providers.aws_apigateway_restapi import ApiGatewayRestApiProvider
from localstack.services.apigateway.resource_providers.aws_apigateway_stage import ApiGatewayStageProvider
from localstack.services.cloudformation import provider_utils
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceRequest,
)
from localstack.services.cloudwatch.resource_providers.aws_cloudwatch_alarm import CloudWatchAlarmProvider
from localstack.services.events.resource_providers.aws_events_rule import EventsRuleProvider, extract_rule_name
from localstack.services.lambda_.resource_providers.lambda_alias import LambdaAliasProvider
from localstack.services.logs.resource_providers.aws_logs_loggroup import LogsLogGroupProvider
from localstack.services.s3.resource_providers.aws_s3_bucket import S3BucketProvider
from localstack.services.secretsmanager.resource_providers.aws_secretsmanager_secret import SecretsManagerSecretProvider

_ALIAS_PROPERTIES = ["FunctionName", "FunctionVersion", "Name", "Description", "RoutingConfig"]
_create_log_group = LogsLogGroupProvider.create


def update_alias(self: LambdaAliasProvider, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
    """Points the alias to another version; LocalStack tries to create it and fails because it exists."""
    parameters = provider_utils.select_attributes(request.desired_state, _ALIAS_PROPERTIES)
    result = request.aws_client_factory.lambda_.update_alias(**parameters)
    model = {**request.desired_state, "Id": result["AliasArn"]}
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def update_rest_api(
    self: ApiGatewayRestApiProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Imports the API's new definition over the old one; LocalStack reports success and changes nothing."""
    known = request.previous_state or {}
    model = {**request.desired_state, **{name: known[name] for name in ("RestApiId", "RootResourceId")}}
    if body := model.get("Body"):
        request.aws_client_factory.apigateway.put_rest_api(
            restApiId=model["RestApiId"],
            mode="overwrite",
            parameters={"basepath": "ignore", **model.get("Parameters", {})},
            body=(body if isinstance(body, str) else json.dumps(body)).encode(),
        )
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def update_stage(
    self: ApiGatewayStageProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Points the stage to the new deployment; otherwise deleting the old deployment would delete the stage too.

    Also sets its access log. LocalStack ignores the settings of methods, when it creates a stage too.
    """
    model = request.desired_state
    changes = [{"op": "replace", "path": "/deploymentId", "value": model["DeploymentId"]}]
    for name, value in model.get("AccessLogSetting", {}).items():
        path = f"/accessLogSettings/{name[0].lower()}{name[1:]}"
        changes.append({"op": "replace", "path": path, "value": value})
    request.aws_client_factory.apigateway.update_stage(
        restApiId=model["RestApiId"], stageName=model["StageName"], patchOperations=changes
    )
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def update_alarm(
    self: CloudWatchAlarmProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Overwrites the alarm's definition: PutMetricAlarm both creates and updates, LocalStack only creates."""
    request.desired_state["AlarmName"] = (request.previous_state or {})["AlarmName"]
    return self.create(request)


def update_secret(
    self: SecretsManagerSecretProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Stores the secret's new value and description; LocalStack can only create a secret and fails."""
    known = request.previous_state or {}
    model = {**request.desired_state, **{name: known[name] for name in ("Id", "Name")}}
    changed = provider_utils.select_attributes(model, ["Description", "KmsKeyId", "SecretString"])
    request.aws_client_factory.secretsmanager.update_secret(SecretId=model["Id"], **changed)
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def create_log_group(
    self: LogsLogGroupProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Also sets how long the logs are kept, which LocalStack leaves out. It deletes no old logs."""
    progress = _create_log_group(self, request)
    _set_retention(request, progress.resource_model)
    return progress


def update_log_group(
    self: LogsLogGroupProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Sets how long the logs are kept; LocalStack can only create a log group."""
    model = {**request.desired_state, "Arn": (request.previous_state or {})["Arn"]}
    _set_retention(request, model)
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def _set_retention(request: ResourceRequest[dict[str, Any]], model: dict[str, Any]) -> None:
    if days := model.get("RetentionInDays"):
        request.aws_client_factory.logs.put_retention_policy(logGroupName=model["LogGroupName"], retentionInDays=days)


def update_account(
    self: ApiGatewayAccountProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Sets the role again: creating it and updating it are the same call, LocalStack only creates."""
    progress: ProgressEvent[dict[str, Any]] = self.create(request)
    progress.resource_model["Id"] = (request.previous_state or {})["Id"]
    return progress


def update_bucket(self: S3BucketProvider, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
    """Sets the bucket's properties again, which creates no second one; LocalStack can only create a bucket."""
    model = request.desired_state
    model["BucketName"] = (request.previous_state or {})["BucketName"]
    if not model.get("NotificationConfiguration"):  # creating a bucket leaves them as they are
        request.aws_client_factory.s3.put_bucket_notification_configuration(
            Bucket=model["BucketName"], NotificationConfiguration={}
        )
    return self.create(request)


def update_rule(self: EventsRuleProvider, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
    """Overwrites the rule and its targets: the calls both create and update, LocalStack only creates."""
    model = request.desired_state
    name = extract_rule_name((request.previous_state or {})["Id"])
    kept = {target["Id"] for target in model.get("Targets") or []}
    bus = {"EventBusName": model["EventBusName"]} if model.get("EventBusName") else {}
    events = request.aws_client_factory.events
    known = events.list_targets_by_rule(Rule=name, **bus)["Targets"]
    if gone := sorted({target["Id"] for target in known} - kept):
        events.remove_targets(Rule=name, Ids=gone, **bus)
    model["Name"] = name
    return self.create(request)


def install() -> None:
    LambdaAliasProvider.update = update_alias
    ApiGatewayRestApiProvider.update = update_rest_api
    ApiGatewayStageProvider.update = update_stage
    CloudWatchAlarmProvider.update = update_alarm
    SecretsManagerSecretProvider.update = update_secret
    LogsLogGroupProvider.create = create_log_group
    LogsLogGroupProvider.update = update_log_group
    ApiGatewayAccountProvider.update = update_account
    S3BucketProvider.update = update_bucket
    EventsRuleProvider.update = update_rule
