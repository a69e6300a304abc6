"""The train and promote steps, as the functions put them together."""

from typing import Any

from mlflow import MlflowClient
from readmission import synthetic
from readmission.payloads import DataKind, Family, PromoteEvent, PromoteResult, RollbackResult, TrainResult
from readmission.serving.registry import MlflowRegistry
from readmission.settings import ModelSettings
from readmission.training import ledger
from readmission.training.promote import promote, rollback
from readmission.training.train import train

from tests.integration.readmission.conftest import Stores


class Models:
    """The train and promote steps under a model name of this test's own."""

    def __init__(self, stores: Stores, name: str) -> None:
        self.stores = stores
        environment = ModelSettings.from_environment()
        self.settings = ModelSettings(environment.tracking_uri, name)
        self.client = MlflowClient(environment.tracking_uri)
        self.registry = MlflowRegistry(self.settings)

    def load(self, seed: int = 1, kind: DataKind = "synthetic") -> None:
        rows = list(synthetic.rows(1500, seed))
        if kind == "real":
            self.stores.load(rows)
        else:
            planned = self.stores.plan(source=f"synthetic:rows=1500,seed={seed}")
            self.stores.ingest(planned)
            self.stores.tidy(planned)

    def train(self, family: Family, run: str = "run", kind: DataKind = "synthetic") -> TrainResult:
        return train({"execution": run, "data_kind": kind, "model": family}, self.stores.clean, self.settings)

    def promote(
        self, *candidates: TrainResult, kind: DataKind = "synthetic", execution: str | None = None
    ) -> PromoteResult:
        event = PromoteEvent(data_kind=kind, models=["logistic_regression"], candidates=list(candidates))
        if execution is not None:
            event["execution"] = execution
        return promote(event, self.stores.clean, self.settings)

    def rollback(self, version: str | None = None, reason: str | None = None) -> RollbackResult:
        return rollback({"version": version, "reason": reason}, self.stores.clean, self.settings)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All decisions, newest first."""
        return ledger.newest(self.stores.clean, self.settings.name, 100)
