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

    Of executions that would train or decide on the same at the same time, one does; the others wait. Raises
    `TrackingUnavailable`.
    """
    asked, execution = event["earlier"], event["execution"]
    with reachable(settings), ledger.exclusive(clean, settings.name):
        data_hash = dataset.rows_hash(clean, asked["data_kind"])
        recipes = earlier.recipes(clean, asked["data_kind"], jobs, settings)
        client = MlflowClient(settings.tracking_uri)
        wanted = {family: recipes[family] for family in asked["models"]}
        found = [] if asked["force"] else _found(client, settings, asked["data_kind"], data_hash, wanted)
        if found and asked["stop_after"] == "train":
            return _answer("trained", candidates=found)
        if found and (answer := _decided(client, clean, settings, found)):
            return answer
        recipe = _digest(asked["data_kind"], data_hash, recipes)
        running = {one["Name"] for one in asked["running"]}
        # Which may have trained, and be about to decide.
        if other := runs.training(clean, settings.name, recipe, execution, running):
            seconds = _SOON if other.since < _SOON_FOR else _LATER
            return _answer("wait", execution=other.execution, seconds=seconds)
        runs.claim(clean, settings.name, recipe, execution)
        return _answer("trained" if found else "train", candidates=found)


def _found(
    client: MlflowClient, settings: ModelSettings, kind: DataKind, data_hash: str, wanted: Mapping[Family, str]
) -> Sequence[Run]:
    """A run for each of the wanted families; none if there is none for one of them."""
    if not data_hash:
        return []
    found = earlier.find(client, settings, kind, data_hash, wanted)
    return found if len(found) == len(wanted) and all(map(_is_comparable, found)) else []


def _is_comparable(run: Run) -> bool:
    return math.isfinite(run.data.metrics.get(names.VALIDATION_LOG_LOSS, math.nan))


def _decided(client: MlflowClient, clean: Connection, settings: ModelSettings, found: Sequence[Run]) -> Earlier | None:
    """What has been decided on the best of the runs; None if nothing has, or its version is no longer registered."""
    best = candidates.best(list(found)).info.run_id
    entry = ledger.of_training(clean, settings.name, best)
    versions = client.search_model_versions(f"run_id = '{best}'") if entry else []
    if entry is None or all(version.name != settings.name for version in versions):
        return None
    stands = result_of(client, entry, just_made=False)
    return _answer("decided", execution=entry.execution, candidates=found, promotion=stands)


def _digest(kind: DataKind, data_hash: str, recipes: Mapping[Family, str]) -> str:
    text = "\n".join((kind, data_hash, code_version(), *(f"{family}: {recipes[family]}" for family in sorted(recipes))))
    return sha256(text.encode()).hexdigest()


def _answer(
    outcome: Outcome,
    *,
    execution: str | None = None,
    seconds: int = 0,
    candidates: Sequence[Run] = (),
    promotion: PromoteResult | None = None,
) -> Earlier:
    trained = [
        TrainResult(model=cast(Family, run.data.tags[names.FAMILY]), mlflow_run_id=run.info.run_id)
        for run in candidates
    ]
    return Earlier(outcome=outcome, execution=execution, wait_seconds=seconds, candidates=trained, promotion=promotion)
