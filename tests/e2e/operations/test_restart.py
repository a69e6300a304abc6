"""A new LocalStack: it has the application, the executions and the figures of the one before."""

import os
import re
import shutil
import signal

import boto3
from readmission.pipeline import executions

from infra.local import stack
from tests.e2e.conftest import Application, Trained
from tests.e2e.exposition import ours, scrape


def test_no_figure_and_no_execution_is_lost_when_the_platform_stops_and_starts(
    application: Application, trained: Trained
) -> None:
    before, ran = ours(scrape(application)), _executions(application)
    deployed, resources = stack.get(application.settings), _resources(application)
    application.platform.run("down")
    said = application.platform.run("up")
    assert "restoring the deployed application ... restored" in said and "already deployed" in said
    assert stack.get(application.settings) == deployed and _resources(application) == resources
    assert ran and _executions(application) == ran
    after = ours(scrape(application))
    assert before and {key: after.get(key) for key, value in before.items() if after.get(key, 0) < value} == {}
    assert application.predict().status == 200


def test_an_execution_that_a_killed_localstack_interrupted_is_taken_up_again(
    application: Application, trained: Trained
) -> None:
    """With the rows that are there already, so that it changes nothing."""
    platform = application.platform
    with platform.start("pipeline", "--dataset", trained.source, "--stop-after", "clean") as watching:
        assert watching.stdout is not None
        started = re.match(r"pipeline +execution (\S+),", watching.stdout.readline())
        assert started is not None
        os.kill(int(platform.pids()["localstack"]), signal.SIGKILL)
        _, said = watching.communicate(timeout=120)
    name = started[1]
    assert watching.returncode == 1 and "Traceback" not in said
    assert f"make up, then make pipeline RESUME={name}" in said
    platform.run("up")
    assert _executions(application)[name] == "ABORTED"
    platform.run("pipeline", "--resume", name)
    assert application.predict().status == 200


def test_a_platform_without_a_snapshot_deploys_again(application: Application, trained: Trained) -> None:
    application.platform.run("down")
    shutil.rmtree(application.settings.snapshot)
    said = application.platform.run("up")
    assert "restoring the deployed application ... no snapshot" in said
    assert "already built, deployed" in said
    assert stack.get(application.settings).api_url == application.stack.api_url
    assert application.predict().status == 200


def test_a_platform_with_a_damaged_snapshot_replaces_localstack_and_deploys_again(
    application: Application, trained: Trained
) -> None:
    application.platform.run("down")
    state = application.settings.snapshot / "state"
    state.write_bytes(b"\x80" * state.stat().st_size)
    said = application.platform.run("up")
    assert "could not be restored" in said and "already built, deployed" in said
    assert application.predict().status == 200


def _resources(application: Application) -> dict[str, str]:
    """The names of all resources of the stack, by their names in the template."""
    pages = application.platform.client("cloudformation").get_paginator("list_stack_resources")
    found = [one for page in pages.paginate(StackName=stack.NAME) for one in page["StackResourceSummaries"]]
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}


def _executions(application: Application) -> dict[str, str]:
    """The statuses of the newest executions by name."""
    client = boto3.client("stepfunctions")
    found = [executions.describe(client, arn) for arn in executions.newest(client, application.stack.pipeline_arn, 100)]
    client.close()
    return {execution.name: execution.status for execution in found}
