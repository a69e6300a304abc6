from collections.abc import Iterator

import mlflow
import pytest
from pg8000.exceptions import DatabaseError
from readmission.errors import InvalidRequest, ModelUnavailable, NoCandidates
from readmission.features import FEATURES
from readmission.scorer import load
from readmission.training import comparison, production

from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models

pytestmark = [
    # Of MLflow's own making, on every log_model and every stage transition.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def models(stores: Stores, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, request.node.name[:60])
    while mlflow.active_run():
        mlflow.end_run()


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
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert models.registry.production().number == "1"


def test_a_model_of_synthetic_data_never_replaces_one_of_real_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.train("logistic_regression", run="real", kind="real"), kind="real")
    result = models.promote(models.train("logistic_regression", run="synthetic"))
    assert (result["decision"], models.registry.production().data_kind) == ("refused", "real")


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


def test_a_worse_model_is_refused_with_the_interval_and_that_is_written_down(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    models.promote(models.train("logistic_regression"))
    # No model of so few rows is worse for sure: a margin that nothing can hold stands for one.
    monkeypatch.setattr(comparison, "MARGIN", -1.0)
    result = models.promote(models.train("gradient_boosting"))
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "test log loss" in result["reason"] and "may be worse by more than" in result["reason"]
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["version"], line["previous_version"], line["decision"]) == ("2", "1", "refused")
    assert set(line["metrics"]["difference"]["log_loss"]) == {"value", "low", "high"}


def test_a_miscalibrated_model_is_refused_even_as_the_first(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.load()
    monkeypatch.setattr(comparison, "ENOUGH_EARLY", 1)
    monkeypatch.setattr(comparison, "LARGEST_ECE", 0.0)
    result = models.promote(models.train("logistic_regression"))
    assert result["decision"] == "refused" and "calibration error" in result["reason"]
    with pytest.raises(ModelUnavailable):
        models.registry.production()


def test_every_decision_is_in_the_ledger_with_the_hashes_of_data_and_code(models: Models) -> None:
    models.load()
    trained = models.train("logistic_regression")
    models.promote(trained, execution="execution-1")
    (line,) = models.ledger
    tags = models.client.get_run(trained["mlflow_run_id"]).data.tags
    assert (line["decision"], line["version"], line["previous_version"]) == ("promoted", "1", None)
    assert (line["execution"], line["data_kind"]) == ("execution-1", "synthetic")
    assert line["data_hash"] == tags["data_hash"] and len(line["data_hash"]) == 64
    assert line["code_version"] == tags["code_version"] and len(line["code_version"]) == 16
    assert line["metrics"]["test"]["auc_early"] > 0


def test_an_execution_decides_once_however_often_its_step_runs(models: Models) -> None:
    models.load()
    trained = models.train("logistic_regression")
    first = models.promote(trained, execution="execution-1")
    models.promote(models.train("gradient_boosting"), execution="execution-2")
    assert models.promote(trained, execution="execution-1") == first
    assert len(models.ledger) == 2


def test_a_decision_whose_alias_could_not_be_moved_is_not_written_down(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    trained = models.train("logistic_regression")

    def fail(*_: object) -> None:
        raise RuntimeError("the registry went away")

    with monkeypatch.context() as patch:
        patch.setattr(production, "put", fail)
        with pytest.raises(RuntimeError):
            models.promote(trained, execution="execution-1")
    assert models.ledger == []
    assert models.promote(trained, execution="execution-1")["decision"] == "promoted"


@pytest.mark.parametrize("statement", ["UPDATE promotion_ledger SET reason = ''", "DELETE FROM promotion_ledger"])
def test_the_ledger_takes_no_change(models: Models, statement: str) -> None:
    models.load()
    models.promote(models.train("logistic_regression"))
    with pytest.raises(DatabaseError, match="append-only"):
        models.stores.clean.run(statement)


def test_a_rollback_goes_to_the_version_before_and_is_written_down(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.train("logistic_regression", run=run))
    result = models.rollback(reason="a complaint")
    assert (result["version"], result["previous_version"]) == ("1", "2")
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["decision"], line["version"], line["reason"]) == ("rolled back", "1", "a complaint")


def test_a_rollback_can_name_its_version(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.train("logistic_regression", run=run))
    assert models.rollback("1")["previous_version"] == "3"
    assert models.registry.production().number == "1"


@pytest.mark.parametrize(
    ("version", "says"),
    [("1", "in Production already"), ("7", "cannot be served"), (None, "knows no version before 1")],
)
def test_a_rollback_that_cannot_be_is_refused_by_name(models: Models, version: str | None, says: str) -> None:
    models.load()
    models.promote(models.train("logistic_regression"))
    with pytest.raises(InvalidRequest, match=says):
        models.rollback(version)
    assert len(models.ledger) == 1


def test_without_a_model_there_is_nothing_to_go_back_from(models: Models) -> None:
    with pytest.raises(InvalidRequest, match="nothing to go back from"):
        models.rollback()
