import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from readmission import synthetic
from readmission.errors import ModelUnavailable, NoCandidates, NoTrainingData, TrackingUnavailable
from readmission.features import FEATURES
from readmission.payloads import DataKind, Family, PromoteEvent, PromoteResult, TrainResult
from readmission.scorer import load
from readmission.serving.registry import MlflowRegistry
from readmission.settings import ModelSettings
from readmission.training import dataset
from readmission.training.promote import promote
from readmission.training.train import train

from tests.integration.readmission.conftest import Stores

pytestmark = [
    # Of MLflow's own making, on every log_model and every stage transition.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


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
        return train({"run_id": run, "data_kind": kind, "model": family}, self.stores.clean, self.settings)

    def promote(self, *candidates: TrainResult, kind: DataKind = "synthetic") -> PromoteResult:
        event = PromoteEvent(data_kind=kind, models=["logistic_regression"], candidates=list(candidates))
        return promote(event, self.stores.clean, self.settings)


@pytest.fixture
def models(stores: Stores, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, request.node.name[:60])
    while mlflow.active_run():
        mlflow.end_run()


def artifact(models: Models, run_id: str, path: str) -> bytes:
    with open(models.client.download_artifacts(run_id, path), "rb") as file:
        return file.read()


def test_a_run_holds_parameters_metrics_and_a_model_that_can_be_loaded(models: Models) -> None:
    models.load()
    result = models.train("logistic_regression")
    run = models.client.get_run(result["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["family"] == "logistic_regression" and run.data.tags["data_kind"] == "synthetic"
    assert run.data.params["max_iter"] == "1000"
    for split in ("validation", "test"):
        assert 0 < run.data.metrics[f"{split}_log_loss"] < 1.2
        assert 0.4 < run.data.metrics[f"{split}_auc_any"] < 1
    assert run.outputs is not None
    info = mlflow.models.get_model_info(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert [column.name for column in info.signature.inputs] == list(FEATURES)
    assert info.saved_input_example_info is not None


def test_the_scorer_says_what_the_logged_model_says(models: Models) -> None:
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


def test_training_again_in_the_same_execution_answers_the_same_run(models: Models) -> None:
    models.load()
    first = models.train("logistic_regression", run="one")
    assert models.train("logistic_regression", run="one") == first
    assert models.train("logistic_regression", run="two") != first


def test_the_same_rows_train_the_same_model(models: Models) -> None:
    models.load()
    runs = [models.train("gradient_boosting", run=name)["mlflow_run_id"] for name in ("one", "two")]
    first, second = (artifact(models, run, "scorer.json") for run in runs)
    assert first == second


def test_without_rows_training_says_what_is_missing(models: Models) -> None:
    with pytest.raises(NoTrainingData, match=r"real clean rows of the train split \(0\)"):
        models.train("logistic_regression", kind="real")


def test_an_mlflow_that_is_away_is_an_error_that_may_pass(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models.settings = ModelSettings("http://127.0.0.1:1", "away")
    with pytest.raises(TrackingUnavailable, match=r"127\.0\.0\.1:1"):
        models.train("logistic_regression")


def test_the_first_model_is_promoted_under_alias_and_stage(models: Models) -> None:
    models.load()
    result = models.promote(models.train("logistic_regression"))
    version = models.client.get_model_version_by_alias(models.settings.name, "Production")
    assert (result["decision"], version.version, version.current_stage) == ("promoted", "1", "Production")
    assert version.tags["data_kind"] == "synthetic" and version.tags["decision"].startswith("promoted: ")


def test_serving_finds_the_promoted_version_and_its_scorer(models: Models) -> None:
    with pytest.raises(ModelUnavailable, match="in Production yet"):
        models.registry.production()
    models.load()
    trained = models.train("logistic_regression")
    models.promote(trained)
    version = models.registry.production()
    assert (version.number, version.run_id, version.data_kind) == ("1", trained["mlflow_run_id"], "synthetic")
    scorer = load(models.registry.scorer_document(version), version.scorer_sha256)
    assert scorer.features == tuple(FEATURES)


def test_the_best_by_validation_is_the_one_registered(models: Models) -> None:
    models.load()
    trained = [models.train("logistic_regression"), models.train("gradient_boosting")]
    losses = [models.client.get_run(one["mlflow_run_id"]).data.metrics["validation_log_loss"] for one in trained]
    best = trained[losses.index(min(losses))]
    assert models.promote(*trained)["model"] == best["model"]
    assert len(models.client.search_model_versions(f"name = '{models.settings.name}'")) == 1


def test_promoting_again_registers_no_second_version(models: Models) -> None:
    models.load()
    trained = models.train("logistic_regression")
    models.promote(trained)
    assert models.promote(trained)["version"] == "1"
    assert len(models.client.search_model_versions(f"name = '{models.settings.name}'")) == 1


def test_a_model_as_good_takes_over_and_the_stage_moves_with_it(models: Models) -> None:
    models.load()
    models.promote(models.train("logistic_regression", run="one"))
    result = models.promote(models.train("logistic_regression", run="two"))
    stages = {
        version.version: version.current_stage
        for version in models.client.search_model_versions(f"name = '{models.settings.name}'")
    }
    assert (result["decision"], stages) == ("promoted", {"1": "Archived", "2": "Production"})


def test_a_worse_model_is_kept_out_with_the_reason(models: Models) -> None:
    models.load()
    trained = [models.train("logistic_regression"), models.train("gradient_boosting")]
    losses = [models.client.get_run(one["mlflow_run_id"]).data.metrics["validation_log_loss"] for one in trained]
    better, worse = sorted(trained, key=lambda one: losses[trained.index(one)])
    models.promote(better)
    result = models.promote(worse)
    assert (result["decision"], result["production_version"]) == ("kept", "1")
    assert f"validation log_loss {max(losses):.4f} > {min(losses):.4f}" in result["reason"]
    assert models.registry.production().number == "1"


def test_a_model_of_synthetic_data_never_replaces_one_of_real_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.train("logistic_regression", run="real", kind="real"), kind="real")
    result = models.promote(models.train("logistic_regression", run="synthetic"))
    assert (result["decision"], models.registry.production().data_kind) == ("kept", "real")


def test_a_model_of_real_data_replaces_one_of_synthetic_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.train("logistic_regression", run="synthetic"))
    result = models.promote(models.train("logistic_regression", run="real", kind="real"), kind="real")
    assert (result["decision"], models.registry.production().data_kind) == ("promoted", "real")


def test_a_scorer_that_differs_from_its_pipeline_is_never_promoted(models: Models) -> None:
    models.load()
    trained = models.train("logistic_regression")
    models.client.log_metric(trained["mlflow_run_id"], "scorer_largest_difference", 1e-6)
    with pytest.raises(NoCandidates, match="equals its pipeline to 1e-09"):
        models.promote(trained)


def test_without_candidates_the_newest_finished_run_of_the_family_is_taken(models: Models) -> None:
    models.load()
    models.train("logistic_regression", run="one")
    newest = models.train("logistic_regression", run="two")
    models.promote()
    assert models.registry.production().run_id == newest["mlflow_run_id"]


def test_the_documents_are_readable_by_other_clients(models: Models) -> None:
    models.load()
    result = models.train("random_forest")
    document = json.loads(artifact(models, result["mlflow_run_id"], "scorer.json"))
    assert (document["format"], document["classes"]) == ("readmission-scorer", ["<30", ">30", "NO"])
