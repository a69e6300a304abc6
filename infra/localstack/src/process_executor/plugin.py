"""What LocalStack finds through the package's entry points."""

from localstack.runtime import hooks
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    """The executor chosen by `LAMBDA_RUNTIME_EXECUTOR=process`."""

    name = "process"

    def load(self, *args: object, **kwargs: object) -> type:
        from process_executor.executor import ProcessRuntimeExecutor

        return ProcessRuntimeExecutor


@hooks.on_infra_start()
def listen_where_told() -> None:
    from process_executor import listening

    listening.restrict()


@hooks.on_infra_start()
def separate_storage() -> None:
    from process_executor import storage

    storage.separate()


@hooks.on_infra_start()
def extend_cloudformation() -> None:
    from process_executor import cloudformation

    cloudformation.extend()


# The first of all: the others may need the host, which is made here.
@hooks.on_infra_start(priority=100)
def keep_metrics() -> None:
    from process_executor import cloudwatch
    from process_executor.host import host

    cloudwatch.replace()
    host()


@hooks.on_infra_start()
def publish_aws_metrics() -> None:
    from process_executor import aws_metrics

    aws_metrics.publish()


# After LocalStack's services have stopped (priority -10): until then there are invocations.
@hooks.on_infra_shutdown(priority=-90)
def publish_remaining_metrics() -> None:
    from process_executor.host import host

    if host.cache_info().currsize:
        host().metrics.close()


# After LocalStack's services have stopped, and with them all execution environments.
@hooks.on_infra_shutdown(priority=-100)
def remove_working_folder() -> None:
    from process_executor.host import host

    if host.cache_info().currsize:
        host().folder.close()
