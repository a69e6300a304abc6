"""The training runs put forward for promotion, and the best of them."""

import math
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run

from readmission.domain.payloads import PromoteEvent, error_name
from readmission.errors import NoCandidates
from readmission.registry import names
from readmission.registry.mlflow_client import experiment_id
from readmission.scoring import export
from readmission.settings import ModelSettings

_NEWEST: Final = 100  # of which all but one may be recalibrations


def find(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    """The event's candidates or, without any, the newest finished run of each family; only runs with a finite loss.

    Raises `NoCandidates` if there are none.
    """
    if event["candidates"]:
        runs = [client.get_run(one["mlflow_run_id"]) for one in event["candidates"] if "mlflow_run_id" in one]
    else:
        runs = _newest(client, event, settings)
    runs = [run for run in runs if math.isfinite(run.data.metrics.get(names.VALIDATION_LOG_LOSS, math.nan))]
    if not runs:
        raise NoCandidates(
            f"there is no finished training run of {', '.join(event['models'])} on {event['data_kind']} data to"
            " promote; run the pipeline from 'train'"
        )
    return runs


def failed(event: PromoteEvent) -> dict[str, str]:
    """The families whose training failed in this execution, with the names of their errors."""
    return {one["model"]: error_name(one["failure"]) for one in event["candidates"] if "failure" in one}


def best(runs: list[Run]) -> Run:
    """The run with the lowest validation log loss, among those with an exact scorer if there are any."""
    exact = [run for run in runs if scorer_difference(run) <= export.TOLERANCE]
    return min(exact or runs, key=lambda run: run.data.metrics[names.VALIDATION_LOG_LOSS])


def scorer_difference(run: Run) -> float:
    """The largest difference in probability between scorer and pipeline; infinite if training did not measure it."""
    found = float(run.data.metrics.get(names.SCORER_DIFFERENCE, math.inf))
    return math.inf if math.isnan(found) else found


def _newest(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    experiment = experiment_id(client, settings)
    found: list[Run] = []
    for family in event["models"]:
        newest = client.search_runs(
            [experiment],
            f"attributes.status = 'FINISHED' AND tags.{names.FAMILY} = '{family}'"
            f" AND tags.{names.DATA_KIND} = '{event['data_kind']}'",
            order_by=["attributes.start_time DESC"],
            max_results=_NEWEST,
        )
        # A recalibrated model is for one site, and promoted only by name.
        found += [run for run in newest if names.RECALIBRATED_FOR not in run.data.tags][:1]
    return found
