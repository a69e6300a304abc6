"""Trainings that have been: runs in MLflow that learned from the same rows, by the same code and settings."""

from collections.abc import Mapping, Sequence
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run
from pg8000.native import Connection

from readmission.domain.payloads import FAMILIES, DataKind, Family, TrainEvent
from readmission.registry import names
from readmission.registry.mlflow_client import experiment_id
from readmission.settings import ModelSettings, TrainingJobSettings
from readmission.training import placement, recipe, train
from readmission.training.code_version import code_version

# What a distributed training is done by. The module with its settings needs LightGBM, which functions do not have.
_ENGINE: Final = "lightgbm"


def recipes(clean: Connection, kind: DataKind, jobs: TrainingJobSettings, model: ModelSettings) -> Mapping[Family, str]:
    """The recipe of every family, as it would be trained now."""
    return {family: _recipe(family, clean, kind, jobs, model) for family in FAMILIES}


def _recipe(family: Family, clean: Connection, kind: DataKind, jobs: TrainingJobSettings, model: ModelSettings) -> str:
    event = TrainEvent(execution="", data_kind=kind, model=family, after_job=False)
    request = placement.job_for(event, clean, jobs, model)
    if request and request["job"]["distributed"] == "true":
        return recipe.of_workers(_ENGINE, request["job"]["instances"])
    return recipe.of_one_process(model.max_training_rows, train.REQUIREMENTS)


def find(
    client: MlflowClient, settings: ModelSettings, kind: DataKind, data_hash: str, wanted: Mapping[Family, str]
) -> Sequence[Run]:
    """The newest finished run of each family, trained on the rows with this hash by the `wanted` recipe.

    A family without such a run is missing in the result. The version of the code is that of this process.
    """
    experiment = experiment_id(client, settings)
    found: list[Run] = []
    for family, text in wanted.items():
        tags = {
            names.FAMILY: family,
            names.DATA_KIND: kind,
            names.DATA_HASH: data_hash,
            names.CODE_VERSION: code_version(),
            names.RECIPE: text,
        }
        conditions = " AND ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        found += client.search_runs(
            [experiment],
            f"attributes.status = 'FINISHED' AND {conditions}",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    return found
