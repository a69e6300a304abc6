import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.tracking import fluent
from mlflow.utils.thread_utils import ThreadLocalVariable
from readmission.domain.features import INPUTS
from readmission.errors import NoTrainingData, TrackingUnavailable
from readmission.evaluation import dataset
from readmission.registry.mlflow_client import experiment_id
from readmission.scoring.scorer import load
from readmission.settings import ModelSettings
from readmission.training import train

from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models, Trainings

pytestmark = [
    # MLflow causes these itself, at every log_model and every stage transition.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, request.node.name[:60], trainings)
    while mlflow.active_run():
        mlflow.end_run()


def artifact(models: Models, run_id: str, path: str) -> bytes:
    with open(models.client.download_artifacts(run_id, path), "rb") as file:
        return file.read()


def test_a_run_has_parameters_metrics_and_a_loadable_model(models: Models) -> None:
    models.load()
    result = models.train("logistic_regression")
    run = models.client.get_run(result["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["family"] == "logistic_regression" and run.data.tags["data_kind"] == "synthetic"
    assert run.data.params["max_iter"] == "1000"
    for split in ("validation", "test"):
        assert 0 < run.data.metrics[f"{split}_log_loss"] < 1.2
        assert 0.4 < run.data.metrics[f"{split}_auc_any"] < 1
    assert run.data.metrics["patients_in_two_splits"] == 0
    low, high = (run.data.metrics[f"test_auc_any_{end}"] for end in ("low", "high"))
    assert low < run.data.metrics["test_auc_any"] < high
    assert run.outputs is not None
    info = mlflow.models.get_model_info(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert [column.name for column in info.signature.inputs] == list(INPUTS)
    assert info.saved_input_example_info is not None


def test_a_run_has_the_report_on_its_training_data(models: Models) -> None:
    models.load()
    models.load(seed=2, kind="real")
    result = models.train("logistic_regression")
    report = json.loads(artifact(models, result["mlflow_run_id"], "data_report.json"))
    assert len(report["batches"]) == 1
    assert report["total"]["rows"] == sum(report["total"]["classes"].values()) == 1500
    assert report["total"]["missing_share"]["weight"] == 1
    metrics = models.client.get_run(result["mlflow_run_id"]).data.metrics
    assert (metrics["data_batches"], metrics["data_rows"], metrics["data_quarantined_share"]) == (1, 1500, 0)


def test_the_scorer_equals_the_logged_model(models: Models) -> None:
    models.load()
    for family in ("logistic_regression", "random_forest", "gradient_boosting"):
        result = models.train(family)  # type: ignore[arg-type]
        run = models.client.get_run(result["mlflow_run_id"])
        assert run.data.metrics["scorer_largest_difference"] <= 1e-9
        content = artifact(models, run.info.run_id, "scorer.json")
        assert sha256(content).hexdigest() == run.data.tags["scorer_sha256"]
        assert run.outputs is not None
        pipeline: Any = mlflow.sklearn.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
        rows = dataset.load(models.stores.clean, "synthetic")["test"].features
        ours = [load(content, run.data.tags["scorer_sha256"]).probabilities(row) for row in rows.to_numpy().tolist()]
        assert np.abs(np.asarray(ours) - pipeline.predict_proba(rows)).max() <= 1e-9


def test_training_again_in_the_same_execution_returns_the_same_run(models: Models) -> None:
    models.load()
    first = models.train("logistic_regression", run="one")
    assert models.train("logistic_regression", run="one") == first
    assert models.train("logistic_regression", run="two") != first


class Killed(BaseException):
    """In place of the end of the process."""


def kill_in_the_fit(models: Models, monkeypatch: pytest.MonkeyPatch, run: str) -> str:
    """A training whose process dies after it has started its MLflow run; returns the run."""
    started: list[str] = []

    def die(*_: object) -> None:
        active = mlflow.active_run()
        assert active is not None
        started.append(active.info.run_id)
        raise Killed

    def leave(*_: object) -> None:
        """Not reached by a process that was killed."""

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_model", die)
        patch.setattr(mlflow.ActiveRun, "__exit__", leave)
        with pytest.raises(Killed):
            models.train("logistic_regression", run=run)
    monkeypatch.setattr(fluent, "_active_run_stack", ThreadLocalVariable(list))
    return started[0]


def status(models: Models, run: str) -> str:
    return models.client.get_run(run).info.status


def test_the_run_of_a_killed_training_is_ended_when_its_step_runs_again(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    dead = kill_in_the_fit(models, monkeypatch, "one")
    other = kill_in_the_fit(models, monkeypatch, "two")
    assert status(models, dead) == status(models, other) == "RUNNING"
    again = models.train("logistic_regression", run="one")["mlflow_run_id"]
    assert (status(models, dead), status(models, again)) == ("KILLED", "FINISHED")
    assert status(models, other) == "RUNNING"  # it may be at work


def test_a_run_that_started_too_long_ago_to_be_at_work_is_ended_by_the_next_training(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    hours_ago = int((time.time() - 2 * 3600) * 1000)
    experiment = experiment_id(models.client, models.settings)
    tags = {"pipeline_run": "another", "family": "random_forest"}
    dead = models.client.create_run(experiment, start_time=hours_ago, tags=tags).info.run_id
    own = models.client.create_run(experiment, start_time=hours_ago).info.run_id  # a person's notebook
    half = models.client.create_logged_model(experiment, name="model", source_run_id=dead)
    models.train("logistic_regression")
    assert models.client.get_logged_model(half.model_id).status == "FAILED"
    assert (status(models, dead), status(models, own)) == ("KILLED", "RUNNING")


def test_a_deleted_experiment_is_restored_with_its_runs(models: Models) -> None:
    models.load()
    first = models.train("logistic_regression", run="one")["mlflow_run_id"]
    models.client.delete_experiment(experiment_id(models.client, models.settings))
    second = models.train("logistic_regression", run="two")["mlflow_run_id"]
    stages = {run: models.client.get_run(run).info.lifecycle_stage for run in (first, second)}
    assert stages == {first: "active", second: "active"}
    models.client.delete_experiment(experiment_id(models.client, models.settings))
    assert models.promote()["decision"] == "promoted"


def test_the_same_rows_train_the_same_model(models: Models) -> None:
    models.load()
    runs = models.candidate("gradient_boosting", run="one"), models.train("gradient_boosting", run="two")
    first, second = (artifact(models, run["mlflow_run_id"], "scorer.json") for run in runs)
    assert first == second


def test_training_without_rows_says_which_are_missing(models: Models) -> None:
    with pytest.raises(NoTrainingData, match=r"real clean rows of the train split \(0\)"):
        models.train("logistic_regression", kind="real")


def test_an_unreachable_mlflow_is_a_transient_error(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models.settings = ModelSettings("http://127.0.0.1:1", "away")
    with pytest.raises(TrackingUnavailable, match=r"127\.0\.0\.1:1"):
        models.train("logistic_regression")


def test_the_scorer_document_can_be_read_by_other_clients(models: Models) -> None:
    models.load()
    result = models.candidate("random_forest")
    document = json.loads(artifact(models, result["mlflow_run_id"], "scorer.json"))
    assert (document["format"], document["classes"]) == ("readmission-scorer", ["<30", ">30", "NO"])
