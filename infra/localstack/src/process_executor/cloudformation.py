"""What LocalStack's CloudFormation lacks for a stack to be deployed again and again, as AWS's can be."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from localstack.services.apigateway.resource_providers.aws_apigateway_restapi import ApiGatewayRestApiProvider
from localstack.services.apigateway.resource_providers.aws_apigateway_stage import ApiGatewayStageProvider
from localstack.services.cloudformation import provider_utils
from localstack.services.cloudformation.engine.v2.change_set_model import (
    ChangeSetEntity,
    ChangeSetModel,
    ChangeType,
    TerminalValue,
)
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceRequest,
)
from localstack.services.cloudwatch.resource_providers.aws_cloudwatch_alarm import CloudWatchAlarmProvider
from localstack.services.lambda_.resource_providers.lambda_alias import LambdaAliasProvider
from localstack.services.secretsmanager.resource_providers.aws_secretsmanager_secret import SecretsManagerSecretProvider
from localstack.utils.id_generator import localstack_id_manager
from localstack.utils.patch import patch
from moto.apigateway.models import apigateway_backends
from moto.utilities.id_generator import IdSourceContext

_UPDATABLE = ["FunctionName", "FunctionVersion", "Name", "Description", "RoutingConfig"]


def update_alias(self: LambdaAliasProvider, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
    """Points the alias to another version; LocalStack can only create one, and fails as it exists."""
    parameters = provider_utils.select_attributes(request.desired_state, _UPDATABLE)
    result = request.aws_client_factory.lambda_.update_alias(**parameters)
    model = {**request.desired_state, "Id": result["AliasArn"]}
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def update_rest_api(
    self: ApiGatewayRestApiProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Imports the API's new definition over the old one; LocalStack says that it is updated and does nothing."""
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
    """Points the stage to the new deployment. Else it would be removed with the old one, and the API be gone."""
    model = request.desired_state
    change = {"op": "replace", "path": "/deploymentId", "value": model["DeploymentId"]}
    request.aws_client_factory.apigateway.update_stage(
        restApiId=model["RestApiId"], stageName=model["StageName"], patchOperations=[change]
    )
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def update_alarm(
    self: CloudWatchAlarmProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Puts the alarm's new definition over the old one, as PutMetricAlarm does; LocalStack can only create one."""
    request.desired_state["AlarmName"] = (request.previous_state or {})["AlarmName"]
    return self.create(request)


def update_secret(
    self: SecretsManagerSecretProvider, request: ResourceRequest[dict[str, Any]]
) -> ProgressEvent[dict[str, Any]]:
    """Puts a secret's new value and description; LocalStack can only create one, and fails."""
    known = request.previous_state or {}
    model = {**request.desired_state, **{name: known[name] for name in ("Id", "Name")}}
    changed = provider_utils.select_attributes(model, ["Description", "KmsKeyId", "SecretString"])
    request.aws_client_factory.secretsmanager.update_secret(SecretId=model["Id"], **changed)
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def change_of_reference(
    resolve: Callable[[ChangeSetModel, ChangeSetEntity], ChangeType], self: ChangeSetModel, arguments: ChangeSetEntity
) -> ChangeType:
    """A `Ref` to a resource that changes in place stays what it was: the resource's name or id.

    LocalStack takes it for changed, and so replaces all that name a changed function in a property that cannot be
    updated, an alias for example, and fails as that exists.
    """
    change = resolve(self, arguments)
    if change != ChangeType.MODIFIED or not isinstance(arguments, TerminalValue):
        return change
    if arguments.value not in self._after_template["Resources"]:
        return change
    resource = self._retrieve_or_visit_resource(arguments.value)
    return change if resource.requires_replacement else ChangeType.UNCHANGED


def rest_api_id(context: IdSourceContext) -> str | None:
    """An id that follows from the API's account, region and name, so that its URL outlives LocalStack.

    None for anything but a REST API, and for a name that is in use: these get random ids as ever.
    """
    identifier = context.get("resource_identifier")
    if identifier is None or (identifier.service, identifier.resource) != ("apigateway", "rest_api"):
        return None
    stable = sha256(identifier.unique_identifier.encode()).hexdigest()[:10]
    apis = apigateway_backends[identifier.account_id][identifier.region].apis
    return None if stable in apis else stable


def extend() -> None:
    """Puts all of it in place."""
    patch(ChangeSetModel._resolve_intrinsic_function_ref)(change_of_reference)
    LambdaAliasProvider.update = update_alias
    ApiGatewayRestApiProvider.update = update_rest_api
    ApiGatewayStageProvider.update = update_stage
    CloudWatchAlarmProvider.update = update_alarm
    SecretsManagerSecretProvider.update = update_secret
    localstack_id_manager.add_id_source(rest_api_id)
