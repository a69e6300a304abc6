"""The entry points through which LocalStack loads this plug-in; pyproject.toml names them.

Each imports its module only when it runs, as LocalStack's own hooks do.
"""

import gc

from localstack.runtime import hooks
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.plugins import Service, aws_provider


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    """The executor that `LAMBDA_RUNTIME_EXECUTOR=process` selects."""

    name = "process"

    def load(self, *args: object, **kwargs: object) -> type:
        from localstack_plugin.executor.runtime_executor import ProcessRuntimeExecutor

        return ProcessRuntimeExecutor


# These three run before the other hooks, while LocalStack has a single thread and has loaded no service.
@hooks.on_infra_start(priority=100)
def create_shared_objects() -> None:
    from localstack_plugin.cloudwatch.shared import publisher
    from localstack_plugin.executor.code import code_store
    from localstack_plugin.storage.working_folder import working_folder

    working_folder()
    code_store()
    publisher()


@hooks.on_infra_start(priority=100)
def replace_metric_database() -> None:
    from localstack_plugin.cloudwatch import database

    database.install()


@hooks.on_infra_start(priority=100)
def provide_service_catalog() -> None:
    """And what else makes the start of LocalStack shorter."""
    from localstack_plugin import lazy_packages, service_catalog

    lazy_packages.install()
    service_catalog.install()


@hooks.on_infra_start()
def patch_server() -> None:
    from localstack_plugin import api_paths, listening

    listening.install()
    api_paths.install()


@hooks.on_infra_start()
def patch_s3() -> None:
    from localstack_plugin.storage import s3

    s3.install()


@hooks.on_infra_start()
def ask_authorizers() -> None:
    from localstack_plugin.apigateway import authorizers

    authorizers.install()


@hooks.on_infra_start()
def call_functions_directly() -> None:
    from localstack_plugin import log_writing
    from localstack_plugin.apigateway import invocations

    invocations.install()
    log_writing.install()


@hooks.on_infra_start()
def patch_cloudformation() -> None:
    from localstack_plugin import cloudformation

    cloudformation.install()


@hooks.on_infra_start()
def publish_service_metrics() -> None:
    from localstack_plugin.cloudwatch import service_metrics

    service_metrics.install()


@hooks.on_infra_start()
def limit_logs() -> None:
    from localstack_plugin import log_limit

    log_limit.install()


@hooks.on_infra_start()
def use_configured_log_groups() -> None:
    from localstack_plugin import log_groups

    log_groups.install()


@hooks.on_infra_start()
def restore_executions() -> None:
    from localstack_plugin.stepfunctions import persistence

    persistence.install()


@hooks.on_infra_start()
def offer_snapshots() -> None:
    from localstack_plugin.snapshot import routes

    routes.install()


@aws_provider()
def sagemaker() -> Service:
    from localstack_plugin.sagemaker import service

    return service.service()


@hooks.on_infra_start()
def run_training_jobs() -> None:
    from localstack_plugin.stepfunctions import stopping, training_jobs

    stopping.install()
    training_jobs.install()


# Runs before LocalStack stops its services, whose errors would end the running executions as failed.
@hooks.on_infra_shutdown(priority=100)
def abort_running_executions() -> None:
    from localstack_plugin.stepfunctions import persistence

    persistence.end()


@hooks.on_infra_shutdown(priority=90)
def end_training_jobs() -> None:
    from localstack_plugin.sagemaker.service import training_jobs

    if training_jobs.cache_info().currsize:
        training_jobs().close()


# Runs after LocalStack has stopped its services (priority -10): functions may be invoked until then.
@hooks.on_infra_shutdown(priority=-90)
def publish_remaining_metrics() -> None:
    from localstack_plugin.cloudwatch.shared import publisher

    if publisher.cache_info().currsize:
        publisher().close()


# By now all execution environments have stopped.
@hooks.on_infra_shutdown(priority=-100)
def remove_working_folder() -> None:
    from localstack_plugin.storage.working_folder import working_folder

    if working_folder.cache_info().currsize:
        working_folder().close()


# Python's collection at exit takes a second, only to free memory that the exit frees anyway.
@hooks.on_infra_shutdown(priority=-110)
def skip_final_garbage_collection() -> None:
    gc.freeze()
