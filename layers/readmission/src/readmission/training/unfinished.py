"""Runs that a killed training left in MLflow: it could not end them, and they would stay RUNNING."""

import time
from datetime import timedelta
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run

from readmission.domain.payloads import TrainEvent
from readmission.registry import names

# For clocks that differ, and for a machine that a training job waits for.
_SLACK: Final = timedelta(minutes=15)
_PAGE: Final = 1000
_RUNNING: Final = "attributes.status = 'RUNNING'"


def end(client: MlflowClient, experiment: str, event: TrainEvent, longest: timedelta) -> None:
    """Set runs to KILLED that the pipeline started and nobody will end, and their half-written models to FAILED.

    These are the runs of earlier attempts of this step, and those of any execution that started too long ago to be at
    work, since no training takes longer than `longest`. Should an attempt that was given up be alive after all, it sets
    its own run to FINISHED at its end.
    """
    before = int(time.time() * 1000) - int((longest + _SLACK) / timedelta(milliseconds=1))
    found = _all(client, experiment, f"{_RUNNING} AND {of_step(event)}")
    found += _all(client, experiment, f"{_RUNNING} AND attributes.start_time < {before}")
    for run_id in {run.info.run_id for run in found if names.PIPELINE_RUN in run.data.tags}:
        for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
            if model.status == LoggedModelStatus.PENDING:
                client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        client.set_terminated(run_id, "KILLED")


def of_step(event: TrainEvent) -> str:
    """MLflow's filter for the runs of one step of an execution."""
    execution = _without_quotes(event["execution"])
    return f"tags.{names.PIPELINE_RUN} = '{execution}' AND tags.{names.FAMILY} = '{event['model']}'"


def _all(client: MlflowClient, experiment: str, condition: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], condition, max_results=_PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _without_quotes(execution: str) -> str:
    """The execution's name for an MLflow filter, which has no escapes. Step Functions does not allow quotes either."""
    if "'" in execution or "\\" in execution:
        raise ValueError(f"an execution's name must not contain quotes or backslashes: {execution!r}")
    return execution
