"""Stops the platform, or what is left of it."""

import shutil
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws, stack
from infra.local.errors import LocalError
from infra.local.lifecycle import application
from infra.local.lifecycle.lock import only_one
from infra.local.servers import processes, supervision
from infra.local.servers.processes import Process
from infra.local.settings import ROOT, Settings, forget
from infra.local.terminal import step


def down(settings: Settings) -> None:
    """Ends all processes of the platform, also of one whose folder was deleted, and keeps its files."""
    if not settings.run.exists() and not processes.ours(settings):
        print(f"Nothing to stop: there is no platform in {settings.directory}")
        return
    with only_one(settings):
        _stop(settings)


def clean(settings: Settings) -> None:
    """Stops the platform and deletes its folder with all data. Raises LocalError for any other folder."""
    is_used = bool(processes.ours(settings))
    if not settings.directory.exists() and not is_used:
        print(f"Nothing to delete: {settings.directory} does not exist")
        return
    if not (settings.run.exists() or is_used) or ROOT.is_relative_to(settings.directory):
        raise LocalError(f"{settings.directory} (LOCAL_DIR) is not the folder of a platform. Nothing was deleted.")
    with only_one(settings):
        _stop(settings)
        with step("files", f"deleting {settings.directory}") as outcome:
            shutil.rmtree(settings.directory)
            outcome.text = "deleted"


def _stop(settings: Settings) -> None:
    running = processes.ours(settings)
    if supervision.is_running(settings):
        running = _stop_supervised(settings, running)
    elif not running:
        print("Nothing to stop: the platform is down")
    stop_without_supervisor(processes.still_alive(running))
    forget(settings)


def _stop_supervised(settings: Settings, known: list[Process]) -> list[Process]:
    """Returns every process seen meanwhile: a new Lambda function may outlive the parent that identifies it."""
    seen = set(known)
    if supervision.states(settings)["localstack"].runs:
        application.remember(settings)
    if "localstack" in settings.programs and supervision.states(settings)["localstack"].runs:
        for name in _running_executions(settings):
            print(f"pipeline    execution {name} is interrupted; after make up: make pipeline RESUME={name}")
    for program in reversed(settings.programs):
        seen |= set(processes.ours(settings))
        if supervision.states(settings)[program].may_run:
            with step(program, "stopping") as outcome:
                supervision.stop_program(settings, program)
                outcome.text = "stopped"
        if program == "s3-mirror" and supervision.states(settings)[program].exit_code != 0:
            log = settings.log(program)
            print(f"The last copy of S3 failed, so the latest objects may be lost. See {log}", file=sys.stderr)
    seen |= set(processes.ours(settings))
    supervision.shut_down(settings)
    processes.wait_until_gone(seen, processes.PATIENCE_SECONDS[processes.SUPERVISOR])
    return list(seen)


def _running_executions(settings: Settings) -> list[str]:
    """Their names; none if LocalStack does not answer, because it must stop nevertheless."""
    try:
        deployed = stack.find(settings)
        if deployed is None:
            return []
        states = aws.client(settings, "stepfunctions")
        found = states.list_executions(stateMachineArn=deployed.pipeline_arn, statusFilter="RUNNING")
    except (LocalError, BotoCoreError, ClientError):
        return []
    return [execution["name"] for execution in found["executions"]]


def stop_without_supervisor(leftovers: Sequence[Process]) -> None:
    if leftovers:
        with step("leftovers", f"stopping {len(leftovers)} processes that supervisord left behind") as outcome:
            processes.stop_leftovers(leftovers)
            outcome.text = "stopped"
