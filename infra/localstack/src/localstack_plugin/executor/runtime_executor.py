"""LocalStack's interface to an execution environment that is a child process."""

from pathlib import Path

from localstack import config
from localstack.aws.api.lambda_ import PackageType
from localstack.runtime.events import infra_stopping
from localstack.services.lambda_.invocation.lambda_models import (
    FunctionVersion,
    InitializationType,
    InvocationResult,
)
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

from localstack_plugin.cloudwatch.service_metrics import functions
from localstack_plugin.cloudwatch.shared import publisher
from localstack_plugin.executor import bootstrap
from localstack_plugin.executor.code import Folders, code_store
from localstack_plugin.executor.invocation import Invocation, Settings
from localstack_plugin.executor.runtimes import CannotRun, runtimes
from localstack_plugin.executor.sandbox import INIT_SECONDS, Sandbox
from localstack_plugin.executor.variables import import_path, process_variables
from localstack_plugin.storage.working_folder import working_folder

LOOPBACK = "127.0.0.1"
# AWS's limit for the init of provisioned concurrency; LocalStack's own limit is shorter.
_PROVISIONED_INIT_SECONDS = 900

_CONCURRENCY = functions.Concurrency()


class ProcessRuntimeExecutor(RuntimeExecutor):
    """Runs one execution environment of a function version."""

    _sandbox: Sandbox | None = None

    @classmethod
    def validate_environment(cls) -> bool:
        return True

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unzip code and layers; LocalStack shows an exception as the reason of the version's Failed state."""
        settings = function_version.config
        if settings.package_type == PackageType.Image:
            raise CannotRun("PackageType Image cannot run as a process: it needs a container. Use Zip.")
        if settings.capacity_provider_config:
            raise CannotRun("Lambda Managed Instances cannot run as a process.")
        archives = [layer.code for layer in settings.layers]
        if any(archive.is_hot_reloading() for archive in [settings.code, *archives]):
            raise CannotRun("Hot reloading is not supported: update the function instead.")
        runtimes().interpreter(settings.runtime)
        code_store().prepare(_key(function_version), settings.code, archives)

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        # When LocalStack stops, the watchdog removes the folders of all versions at once.
        if not infra_stopping.is_set():
            code_store().release(_key(function_version))

    def start(self, env_vars: dict[str, str]) -> None:
        tmp = working_folder().environment(self.id)
        folders = code_store().folders(_key(self.function_version))
        self._sandbox = Sandbox(self._settings(env_vars, folders, tmp), tmp, infra_stopping.is_set)
        provisioned = env_vars["AWS_LAMBDA_INITIALIZATION_TYPE"] == InitializationType.provisioned_concurrency
        ready = self._sandbox.start(_PROVISIONED_INIT_SECONDS if provisioned else INIT_SECONDS)
        # An on-demand environment that is not ready reports that, with its logs, on its first invocation.
        if provisioned and not ready:
            raise LambdaRuntimeException("The function's init failed")

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        if not self._sandbox:
            raise LambdaRuntimeException(f"Execution environment {self.id} has not been started")
        request_id, version = payload["invoke-id"], self.function_version.id
        invocation = Invocation(
            request_id=request_id,
            function_arn=payload["invoked-function-arn"],
            trace_id=payload["trace-id"],
            event=payload["payload"].encode(),
        )
        with _CONCURRENCY.one_more(version.unqualified_arn()) as concurrency:
            outcome = self._sandbox.invoke(invocation)
        functions.count_invocation(
            version, is_error=outcome.is_error, seconds=outcome.duration, concurrency=concurrency
        )
        publisher().submit(version.account, version.region, outcome.lines)
        return InvocationResult(request_id, outcome.payload, outcome.is_error, outcome.logs)

    def stop(self) -> None:
        if self._sandbox:
            lines = self._sandbox.stop()
            publisher().submit(self.function_version.id.account, self.function_version.id.region, lines)

    def get_logs(self) -> str:
        """Always empty: each invocation's result holds its output, errors of the init included."""
        return ""

    def get_address(self) -> str:
        return LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        return LOOPBACK

    def get_runtime_endpoint(self) -> str:
        """Address at which an init program would call LocalStack; a process here has no such program."""
        return f"http://{LOOPBACK}:{config.GATEWAY_LISTEN[0].port}"

    def _settings(self, localstack_variables: dict[str, str], folders: Folders, tmp: Path) -> Settings:
        version = self.function_version
        runtime, interpreter = version.config.runtime, runtimes().interpreter(version.config.runtime)
        # -s: without the packages of the host's user; -P: only AWS's import path; -B: code is read-only on AWS.
        python = [str(interpreter), "-s", "-P", "-B"]
        return Settings(
            command=[*python, bootstrap.__file__, version.config.handler, *import_path(folders, runtime)],
            variables=process_variables(
                localstack_variables,
                version.config.environment or {},
                runtime=runtime,
                interpreter=interpreter,
                folders=folders,
                tmp=tmp,
            ),
            task_root=folders.task_root,
            version=version.id.qualifier,
            timeout=version.config.timeout,
            memory_mb=version.config.memory_size,
            response_limit=config.LAMBDA_LIMITS_MAX_FUNCTION_PAYLOAD_SIZE_BYTES,
        )


def _key(version: FunctionVersion) -> tuple[str, str]:
    return version.qualified_arn, version.config.internal_revision
