"""A new LocalStack: it has the executions and the figures of the one before."""

import os
import re
import signal

import boto3
from readmission.pipeline import executions

from tests.e2e.conftest import Application, Trained
from tests.e2e.exposition import ours, scrape


def test_no_figure_and_no_execution_is_lost_when_the_platform_stops_and_starts(
    application: Application, trained: Trained
) -> None:
    before, ran = ours(scrape(application)), _executions(application)
    application.platform.run("down")
    application.platform.run("up")
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


def _executions(application: Application) -> dict[str, str]:
    """The statuses of the newest executions by name."""
    client = boto3.client("stepfunctions")
    found = [executions.describe(client, arn) for arn in executions.newest(client, application.stack.pipeline_arn, 100)]
    client.close()
    return {execution.name: execution.status for execution in found}
