"""Before a training: whether it would make models that exist, or that another execution is making.

The same rows, code and settings make the same models. They are trained again only if an execution asks for that
(`force`).
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final, cast

from mlflow import MlflowClient
from mlflow.entities import Run
from pg8000.native import Connection

from readmission.domain.payloads import (
    DataKind,
    Earlier,
    EarlierEvent,
    Family,
    Outcome,
    PromoteResult,
    TrainResult,
)
from readmission.evaluation import dataset
from readmission.pipeline import runs
from readmission.promotion import candidates, ledger
from readmission.promotion.promote import result_of
from readmission.registry import names
from readmission.registry.mlflow_client import reachable
from readmission.settings import ModelSettings, TrainingJobSettings
from readmission.training import earlier
from readmission.training.code_version import code_version

# Seconds until a waiting execution looks again. Each look costs events of its history, of which it has 25,000, and a
# training job may take a day.
_SOON: Final = 10
_LATER: Final = 120
_SOON_FOR: Final = timedelta(minutes=15)


def look(event: EarlierEvent, clean: Connection, settings: ModelSettings, jobs: TrainingJobSettings) -> Earlier:
    """What the execution is to do instead of training, or that it is to train.

    Of executions that would train the same at the same time, one does; the others wait. Raises `TrackingUnavailable`.
    """
    asked = event["earlier"]
    with reachable(settings), ledger.exclusive(clean, settings.name):
        data_hash = dataset.rows_hash(clean, asked["data_kind"])
        recipes = earlier.recipes(clean, asked["data_kind"], jobs, settings)
        client = MlflowClient(settings.tracking_uri)
        if data_hash and not asked["force"]:
            wanted = {family: recipes[family] for family in asked["models"]}
            found = earlier.find(client, settings, asked["data_kind"], data_hash, wanted)
            if len(found) == len(wanted) and all(map(_is_comparable, found)):
                return _known(client, clean, settings, found, undecided=asked["stop_after"] == "train")
        recipe = _digest(asked["data_kind"], data_hash, recipes)
        running = {one["Name"] for one in asked["running"]}
        other = runs.training(clean, settings.name, recipe, event["execution"], running)
        if other:
            seconds = _SOON if other.since < _SOON_FOR else _LATER
            return _answer("wait", execution=other.execution, seconds=seconds)
        runs.claim(clean, settings.name, recipe, event["execution"])
        return _answer("train")


def _is_comparable(run: Run) -> bool:
    return math.isfinite(run.data.metrics.get(names.VALIDATION_LOG_LOSS, math.nan))


def _known(
    client: MlflowClient, clean: Connection, settings: ModelSettings, found: Sequence[Run], *, undecided: bool
) -> Earlier:
    """That the models exist, and what has been decided on the best of them if its version is still registered."""
    trained = [
        TrainResult(model=cast(Family, run.data.tags[names.FAMILY]), mlflow_run_id=run.info.run_id) for run in found
    ]
    best = candidates.best(list(found)).info.run_id
    entry = None if undecided else ledger.of_training(clean, settings.name, best)
    registered = entry and any(
        version.name == settings.name for version in client.search_model_versions(f"run_id = '{best}'")
    )
    if not (entry and registered):
        return _answer("trained", candidates=trained)
    stands = result_of(client, entry, just_made=False)
    return _answer("decided", execution=entry.execution, candidates=trained, promotion=stands)


def _digest(kind: DataKind, data_hash: str, recipes: Mapping[Family, str]) -> str:
    text = "\n".join((kind, data_hash, code_version(), *(f"{family}: {recipes[family]}" for family in sorted(recipes))))
    return sha256(text.encode()).hexdigest()


def _answer(
    outcome: Outcome,
    *,
    execution: str | None = None,
    seconds: int = 0,
    candidates: Sequence[TrainResult] = (),
    promotion: PromoteResult | None = None,
) -> Earlier:
    return Earlier(
        outcome=outcome,
        execution=execution,
        wait_seconds=seconds,
        candidates=list(candidates),
        promotion=promotion,
    )
