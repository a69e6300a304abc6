"""Lets Step Functions run `sagemaker:createTrainingJob` and `.sync`, which LocalStack does not know."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from localstack.aws.api.stepfunctions import HistoryEventType, TaskFailedEventDetails
from localstack.services.stepfunctions.asl.component.common.error_name.custom_error_name import CustomErrorName
from localstack.services.stepfunctions.asl.component.common.error_name.error_name import ErrorName
from localstack.services.stepfunctions.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from localstack.services.stepfunctions.asl.component.common.error_name.states_error_name import StatesErrorName
from localstack.services.stepfunctions.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from localstack.services.stepfunctions.asl.component.state.state_execution.state_task import state_task_factory
from localstack.services.stepfunctions.asl.component.state.state_execution.state_task.service import (
    resource,
    state_task_service,
    state_task_service_callback,
)
from localstack.services.stepfunctions.asl.eval.environment import Environment
from localstack.services.stepfunctions.asl.eval.event.event_detail import EventDetails
from localstack.services.stepfunctions.asl.utils.boto_client import boto_client_for
from localstack.services.stepfunctions.asl.utils.encoding import to_json_str

# Written out: the definition of all SageMaker's operations takes a second to load, for each machine with such a state.
_PARAMETERS = {
    "AlgorithmSpecification",
    "CheckpointConfig",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "Environment",
    "HyperParameters",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RetryStrategy",
    "RoleArn",
    "StoppingCondition",
    "Tags",
    "TrainingJobName",
    "VpcConfig",
}
# Step Functions' own tag of a resource that it waits for.
_MANAGED = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}


class _WaitedFor:
    """Asks for the end of a job: None while it runs. `stop` stops it."""

    def __init__(self, client: Any, name: str, failed: Callable[[str], Exception]) -> None:
        self._client, self._name, self._failed = client, name, failed

    def __call__(self) -> dict[str, Any] | None:
        job = self.describe()
        if job["TrainingJobStatus"] == "Completed":
            return job
        if job["TrainingJobStatus"] in ("Failed", "Stopped"):
            raise self._failed(to_json_str(job))
        return None

    def describe(self) -> dict[str, Any]:
        job: dict[str, Any] = _with_numbers(self._client.describe_training_job(TrainingJobName=self._name))
        job.pop("ResponseMetadata", None)
        return job

    def stop(self) -> None:
        try:
            self._client.stop_training_job(TrainingJobName=self._name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":  # it has ended
                raise


class StateTaskServiceSageMaker(state_task_service_callback.StateTaskServiceCallback):  # type: ignore[misc]
    """A Task that creates a training job and, with `.sync`, waits for its end."""

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={resource.ResourceCondition.Sync})

    def _get_supported_parameters(self) -> set[str] | None:
        return _PARAMETERS if self.resource.api_action == "createTrainingJob" else None

    def _before_eval_execution(self, env: Environment, raw_parameters: dict[str, Any], **named: Any) -> None:
        if self.resource.condition == resource.ResourceCondition.Sync:
            raw_parameters["Tags"] = [*raw_parameters.get("Tags", []), _MANAGED]
        super()._before_eval_execution(env=env, raw_parameters=raw_parameters, **named)

    def _eval_service_task(
        self,
        env: Environment,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        client = boto_client_for(
            service="sagemaker", region=resource_runtime_part.region, state_credentials=state_credentials
        )
        response = getattr(client, self._get_boto_service_action())(**normalised_parameters)
        response.pop("ResponseMetadata", None)
        env.stack.append(response)

    def _build_sync_resolver(
        self,
        env: Environment,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> _WaitedFor:
        env.stack.pop()  # the job's ARN
        client = boto_client_for(
            service="sagemaker", region=resource_runtime_part.region, state_credentials=state_credentials
        )
        name: str = normalised_parameters["TrainingJobName"]
        failed = StatesErrorName(StatesErrorNameType.StatesTaskFailed)
        return _WaitedFor(client, name, lambda cause: FailureEventException(self._failure(env, failed, cause)))

    def _eval_sync(self, env: Environment, sync_resolver: _WaitedFor, **named: Any) -> Any:
        """The job's description at its end, or when the execution or the state was stopped, which stops the job."""
        outcome = super()._eval_sync(env=env, sync_resolver=sync_resolver, **named)
        if outcome is None:
            sync_resolver.stop()
            return sync_resolver.describe()
        return outcome

    def _from_error(self, env: Environment, ex: Exception) -> FailureEvent:
        if not isinstance(ex, ClientError):
            return super()._from_error(env=env, ex=ex)
        code, metadata = ex.response["Error"]["Code"], ex.response["ResponseMetadata"]
        details = (
            f"Service: AmazonSageMaker; Status Code: {metadata['HTTPStatusCode']}; Error Code: {code};"
            f" Request ID: {metadata.get('RequestId')}; Proxy: null"
        )
        error = CustomErrorName(f"SageMaker.{code.removesuffix('Exception')}Exception")
        return self._failure(env, error, f"{ex.response['Error']['Message']} ({details})")

    def _failure(self, env: Environment, error: ErrorName, cause: str) -> FailureEvent:
        return FailureEvent(
            env=env,
            error_name=error,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(
                taskFailedEventDetails=TaskFailedEventDetails(
                    error=error.error_name,
                    cause=cause,
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                )
            ),
        )


def _with_numbers(value: Any) -> Any:
    """Step Functions writes times as milliseconds since 1970."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, dict):
        return {name: _with_numbers(one) for name, one in value.items()}
    return [_with_numbers(one) for one in value] if isinstance(value, list) else value


@cache
def install() -> None:
    """Further calls do nothing."""
    original = state_task_factory.state_task_service_for

    def service_for(service_name: str) -> state_task_service.StateTaskService:
        return StateTaskServiceSageMaker() if service_name == "sagemaker" else original(service_name=service_name)

    state_task_factory.state_task_service_for = service_for
