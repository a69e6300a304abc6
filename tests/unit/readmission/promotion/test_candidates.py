"""The runs of an execution in which not every family was trained."""

from types import SimpleNamespace
from typing import Any

from readmission.domain.payloads import Failure, PromoteEvent
from readmission.promotion import candidates
from readmission.settings import ModelSettings

SETTINGS = ModelSettings("http://mlflow.example", "readmission")
EVENT = PromoteEvent(
    data_kind="real",
    models=["random_forest", "logistic_regression"],
    candidates=[
        {"model": "random_forest", "failure": Failure(Error="States.Timeout", Cause="")},
        {"model": "logistic_regression", "mlflow_run_id": "r1"},
    ],
)


class Runs:
    """An MLflow in which every run has a loss."""

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=run_id, data=SimpleNamespace(metrics={"validation_log_loss": 0.9}))


def test_only_trained_families_are_candidates() -> None:
    runs: Any = Runs()
    assert [run.info for run in candidates.find(runs, EVENT, SETTINGS)] == ["r1"]


def test_the_others_are_named_with_their_error() -> None:
    assert candidates.failed(EVENT) == {"random_forest": "StepTimedOut"}
