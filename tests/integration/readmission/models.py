"""The train and promote steps, as the Lambda functions call them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunData, RunTag
from readmission.domain.payloads import (
    DataKind,
    Family,
    PromoteEvent,
    PromoteResult,
    RollbackResult,
    TrainEvent,
    TrainResult,
)
from readmission.evaluation import dataset
from readmission.pipeline import synthetic
from readmission.promotion import ledger
from readmission.promotion.promote import promote
from readmission.promotion.rollback import rollback
from readmission.registry import names
from readmission.registry.mlflow_client import experiment_id
from readmission.registry.production import MlflowRegistry
from readmission.settings import ChallengeSettings, ModelSettings
from readmission.telemetry.metrics import SCORES
from readmission.training.train import train

from tests import training_runs
from tests.integration.readmission.conftest import Stores

# MLflow raises these on every log_model and every stage transition.
MLFLOW_WARNINGS: Final = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

# The texts of a run that the promotion and the monitor read.
ARTIFACTS: Final = (names.SCORER, names.REFERENCE, names.DATA_REPORT)
# What promotion and serving read of a run's metrics. MLflow takes a second to log all metrics of a copy.
_METRICS: Final = (names.VALIDATION_LOG_LOSS, names.SCORER_DIFFERENCE, *(f"test_{name}" for name in SCORES))


@dataclass(frozen=True)
class Training:
    """The parts of a finished training run in MLflow that the promote step, serving and the monitor use."""

    run: Run
    artifacts: dict[str, str]


# By family, kind of data and hash of the rows, which determine the model and its metrics.
type Trainings = dict[tuple[Family, DataKind, str], Training]


class Models:
    """The train and promote steps, with a model name that only this test uses."""

    def __init__(self, stores: Stores, name: str, trainings: Trainings | None = None) -> None:
        self.stores = stores
        self.trainings = {} if trainings is None else trainings
        environment = ModelSettings.from_environment()
        self.settings = ModelSettings(environment.tracking_uri, name)
        self.client = MlflowClient(environment.tracking_uri)
        self.registry = MlflowRegistry(self.settings)
        self.loaded: tuple[tuple[int, DataKind], ...] = ()

    def load(self, seed: int = 1, kind: DataKind = "synthetic") -> None:
        """Add 1,500 encounters to those of earlier calls, and to nothing else."""
        self.loaded += ((seed, kind),)
        self.stores.load_once(self.loaded, lambda: self._load(seed, kind))

    def _load(self, seed: int, kind: DataKind) -> None:
        if kind == "real":
            self.stores.load(list(synthetic.rows(1500, seed)))
        else:
            planned = self.stores.plan(source=f"synthetic:rows=1500,seed={seed}")
            self.stores.ingest(planned)
            self.stores.tidy(planned)

    def train(self, family: Family, run: str = "run", kind: DataKind = "synthetic") -> TrainResult:
        return train({"execution": run, "data_kind": kind, "model": family}, self.stores.clean, self.settings)

    def candidate(
        self,
        family: Family,
        run: str = "run",
        kind: DataKind = "synthetic",
        artifacts: Sequence[str] = (names.SCORER,),
    ) -> TrainResult:
        """A new run like one of `train`, with these of its `ARTIFACTS`, copied from a training that tests with the same
        rows share.

        This saves time: the same rows train the same model, as the tests of the training step verify.
        """
        rows = (family, kind, dataset.rows_hash(self.stores.clean, kind))
        if rows not in self.trainings:
            self.trainings[rows] = self._training(*rows)
        training = self.trainings[rows]
        experiment = experiment_id(self.client, self.settings)
        texts = {name: training.artifacts[name] for name in artifacts}
        own = training_runs.copy(self.client, training.run, texts, experiment, run)
        return TrainResult(model=family, mlflow_run_id=own.run_id)

    def _training(self, family: Family, kind: DataKind, data_hash: str) -> Training:
        """Train under a separate model name, so that no test changes the shared run."""
        settings = ModelSettings(self.settings.tracking_uri, f"shared_{kind}_{data_hash}")
        event = TrainEvent(execution="shared", data_kind=kind, model=family)
        run_id = train(event, self.stores.clean, settings)["mlflow_run_id"]
        texts = {name: mlflow.artifacts.load_text(f"runs:/{run_id}/{name}") for name in ARTIFACTS}
        return Training(_reduced(self.client.get_run(run_id)), texts)

    def promote(
        self,
        *candidates: TrainResult,
        kind: DataKind = "synthetic",
        execution: str | None = None,
        challenges: ChallengeSettings | None = None,
    ) -> PromoteResult:
        event = PromoteEvent(data_kind=kind, models=["logistic_regression"], candidates=list(candidates))
        if execution is not None:
            event["execution"] = execution
        return promote(event, self.stores.clean, self.settings, challenges)

    def rollback(
        self, version: str | None = None, reason: str = "a complaint", force: bool | None = None
    ) -> RollbackResult:
        request = {"version": version, "reason": reason, "by": "an operator", "force": force}
        return rollback(request, self.stores.clean, self.settings)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All decisions, newest first."""
        return ledger.read(self.stores.clean, self.settings.name, 100)


def _reduced(run: Run) -> Run:
    """The run without its parameters, and with only those metrics that promotion and serving read."""
    metrics = [Metric(name, run.data.metrics[name], run.info.start_time, 0) for name in _METRICS]
    tags = [RunTag(name, value) for name, value in run.data.tags.items()]
    return Run(run.info, RunData(metrics, tags=tags), run_outputs=run.outputs)
