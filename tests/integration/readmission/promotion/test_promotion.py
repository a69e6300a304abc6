import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import mlflow
import pytest
from pg8000.exceptions import DatabaseError
from readmission import settings
from readmission.domain.features import INPUTS
from readmission.domain.payloads import TrainResult
from readmission.errors import InvalidRequest, ModelUnavailable, NoCandidates, TrackingUnavailable
from readmission.promotion import alias, ledger, verdict
from readmission.promotion.promote import promote
from readmission.promotion.rollback import rollback
from readmission.registry.mlflow_client import digest
from readmission.scoring.scorer import load
from readmission.storage.database import connect

from tests.integration.readmission.conftest import BUCKETS, Stores
from tests.integration.readmission.models import Models, Trainings
from tests.unit.readmission.documents import numbers

pytestmark = [
    # Of MLflow's own making, on every log_model and every stage transition.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    # A name of its own for each case: long ones begin alike.
    yield Models(stores, f"{request.function.__name__[:40]}_{crc32(request.node.name.encode()):08x}", trainings)
    while mlflow.active_run():
        mlflow.end_run()


def test_the_first_model_is_promoted_under_alias_and_stage(models: Models) -> None:
    models.load()
    result = models.promote(models.train("logistic_regression"))
    version = models.client.get_model_version_by_alias(models.settings.name, "Production")
    assert (result["decision"], version.version, version.current_stage) == ("promoted", "1", "Production")
    assert version.tags["data_kind"] == "synthetic" and version.tags["decision"].startswith("promoted: ")


def test_serving_learns_since_when_and_why_a_version_serves_after_a_promotion_and_a_rollback(models: Models) -> None:
    models.load()
    before = datetime.now(UTC).replace(microsecond=0)
    first = models.promote(models.candidate("logistic_regression", run="one"))
    promoted = models.registry.production()
    assert promoted.decision_reason == first["reason"]
    assert before <= datetime.fromisoformat(str(promoted.promoted_at)) <= datetime.now(UTC)
    models.promote(models.candidate("logistic_regression", run="two"))
    models.rollback(reason="a complaint")
    version = models.registry.production()
    assert (version.number, version.decision_reason) == ("1", "a complaint")
    assert str(version.promoted_at) >= str(promoted.promoted_at)


def test_serving_finds_the_metrics_of_the_promoted_version_and_no_model_card_yet(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    models.promote(trained)
    version = models.registry.production()
    assert models.registry.metrics(version) == models.client.get_run(trained["mlflow_run_id"]).data.metrics
    assert models.registry.model_card(version, "model_card.md") is None
    models.client.log_text(trained["mlflow_run_id"], "# Modèle", "model_card.md")
    assert models.registry.model_card(version, "model_card.md") == "# Modèle"


def test_serving_finds_the_promoted_version_and_its_scorer(models: Models) -> None:
    with pytest.raises(ModelUnavailable, match="in Production yet"):
        models.registry.production()
    models.load()
    trained = models.train("logistic_regression")
    models.promote(trained)
    version = models.registry.production()
    assert (version.number, version.run_id, version.data_kind) == ("1", trained["mlflow_run_id"], "synthetic")
    scorer = load(models.registry.scorer_document(version), version.scorer_sha256)
    assert scorer.features == INPUTS


def test_the_best_by_validation_is_the_one_registered(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression"), models.candidate("gradient_boosting")]
    losses = [models.client.get_run(one["mlflow_run_id"]).data.metrics["validation_log_loss"] for one in trained]
    best = trained[losses.index(min(losses))]
    assert models.promote(*trained)["model"] == best["model"]
    assert len(models.client.search_model_versions(f"name = '{models.settings.name}'")) == 1


def test_promoting_again_registers_no_second_version(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    models.promote(trained)
    assert models.promote(trained)["version"] == "1"
    assert len(models.client.search_model_versions(f"name = '{models.settings.name}'")) == 1


def test_a_model_as_good_takes_over_and_the_stage_moves_with_it(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    result = models.promote(models.candidate("logistic_regression", run="two"))
    stages = {
        version.version: version.current_stage
        for version in models.client.search_model_versions(f"name = '{models.settings.name}'")
    }
    assert (result["decision"], stages) == ("promoted", {"1": "Archived", "2": "Production"})


def test_a_worse_model_is_kept_out_with_the_reason(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression"), models.candidate("gradient_boosting")]
    losses = [models.client.get_run(one["mlflow_run_id"]).data.metrics["validation_log_loss"] for one in trained]
    better, worse = sorted(trained, key=lambda one: losses[trained.index(one)])
    models.promote(better)
    result = models.promote(worse)
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert models.registry.production().number == "1"


def test_a_model_of_synthetic_data_never_replaces_one_of_real_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    result = models.promote(models.candidate("logistic_regression", run="synthetic"))
    assert (result["decision"], models.registry.production().data_kind) == ("refused", "real")


def test_a_model_of_real_data_replaces_one_of_synthetic_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="synthetic"))
    result = models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    assert (result["decision"], models.registry.production().data_kind) == ("promoted", "real")


def test_a_scorer_that_differs_from_its_pipeline_is_never_promoted(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    models.client.log_metric(trained["mlflow_run_id"], "scorer_largest_difference", 1e-6)
    result = models.promote(trained)
    assert (result["decision"], result["production_version"]) == ("refused", "")
    assert "scorer and pipeline differ by 1e-06" in result["reason"] == models.ledger[0]["reason"]
    with pytest.raises(ModelUnavailable):
        models.registry.production()


def test_a_candidate_with_an_exact_scorer_is_taken_before_a_better_one_without(models: Models) -> None:
    models.load()
    exact, better = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    models.client.log_metric(better["mlflow_run_id"], "validation_log_loss", 0.1)
    models.client.log_metric(better["mlflow_run_id"], "scorer_largest_difference", 1e-6)
    assert models.promote(better, exact)["decision"] == "promoted"
    assert models.registry.production().run_id == exact["mlflow_run_id"]


def test_without_any_finished_training_there_is_nothing_to_promote(models: Models) -> None:
    with pytest.raises(NoCandidates, match="run the pipeline from 'train'"):
        models.promote()
    assert models.ledger == []


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
    models.promote(models.candidate("logistic_regression"))
    # No model of so few rows is worse for sure: a margin that nothing can hold stands for one.
    monkeypatch.setattr(verdict, "MARGIN", -1.0)
    result = models.promote(models.candidate("gradient_boosting"))
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "test log loss" in result["reason"] and "may be worse by more than" in result["reason"]
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["version"], line["previous_version"], line["decision"]) == ("2", "1", "refused")
    assert set(line["metrics"]["difference"]["log_loss"]) == {"value", "low", "high"}
    assert set(line["metrics"]["incumbent"]) == set(line["metrics"]["challenger"]) >= {"log_loss", "auc_early"}


def test_a_miscalibrated_model_is_refused_even_as_the_first(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.load()
    monkeypatch.setattr(verdict, "ENOUGH_EARLY", 1)
    monkeypatch.setattr(verdict, "LARGEST_ECE", 0.0)
    result = models.promote(models.candidate("logistic_regression"))
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
    assert (line["family"], line["mlflow_run_id"]) == ("logistic_regression", trained["mlflow_run_id"])
    assert 0 < line["metrics"]["challenger"]["auc_early"] < 1


def test_an_execution_decides_once_however_often_its_step_runs(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    first = models.promote(trained, execution="execution-1")
    models.promote(models.candidate("gradient_boosting"), execution="execution-2")
    assert models.promote(trained, execution="execution-1") == first
    assert len(models.ledger) == 2


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Runs a step that breaks off between the ledger and the registry."""

    def run(step: Callable[[], Any]) -> None:
        def fail(*_: object) -> None:
            raise TrackingUnavailable("the registry went away")

        with monkeypatch.context() as patch:
            patch.setattr(alias, "move", fail)
            with pytest.raises(TrackingUnavailable):
                step()

    return run


@pytest.mark.parametrize("execution", ["execution-1", None])
def test_a_step_that_broke_off_behind_the_ledger_is_made_up_for_when_it_runs_again(
    models: Models, broken_off: Callable[[Callable[[], Any]], None], execution: str | None
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="execution-0")
    trained = models.candidate("logistic_regression", run="two")
    broken_off(lambda: models.promote(trained, execution=execution))
    assert models.registry.production().number == "1"
    result = models.promote(trained, execution=execution)
    assert (result["decision"], result["production_version"]) == ("promoted", "2")
    version = models.client.get_model_version_by_alias(models.settings.name, "Production")
    assert (version.version, version.current_stage) == ("2", "Production")
    assert version.tags["decision"].startswith("promoted: ")
    assert [(line["version"], line["previous_version"]) for line in models.ledger] == [("2", "1"), ("1", None)]


def test_a_step_that_broke_off_and_never_ran_again_is_made_up_for_by_the_next(
    models: Models, broken_off: Callable[[Callable[[], Any]], None]
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="execution-1")
    trained = models.candidate("logistic_regression", run="two")
    broken_off(lambda: models.promote(trained, execution="execution-2"))
    assert models.rollback()["previous_version"] == "2"
    assert models.registry.production().number == "1"


def test_a_rollback_that_broke_off_is_made_up_for(
    models: Models, broken_off: Callable[[Callable[[], Any]], None]
) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run), execution=run)
    broken_off(lambda: models.rollback("1"))
    with pytest.raises(InvalidRequest, match="in Production already"):
        models.rollback("1")
    assert models.registry.production().number == "1"
    assert [line["decision"] for line in models.ledger] == ["rolled back", "promoted", "promoted"]


def test_what_somebody_has_moved_in_the_registry_is_not_moved_back(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression", run=run) for run in ("one", "two")]
    for number, one in enumerate(trained):
        models.promote(one, execution=f"execution-{number}")
    models.client.set_registered_model_alias(models.settings.name, "Production", "1")
    models.promote(trained[1], execution="execution-1")
    assert models.registry.production().number == "1"


def test_an_execution_that_runs_again_does_not_undo_what_came_after_it(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression", run=run) for run in ("one", "two")]
    for number, one in enumerate(trained):
        models.promote(one, execution=f"execution-{number}")
    models.rollback()
    assert models.promote(trained[1], execution="execution-1")["version"] == "2"
    assert models.registry.production().number == "1"


def test_without_an_execution_the_same_decision_is_written_down_once(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    first, second = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    assert models.promote(first)["decision"] == models.promote(first)["decision"] == "promoted"
    monkeypatch.setattr(verdict, "MARGIN", -1.0)
    assert models.promote(second) == models.promote(second)
    assert [line["decision"] for line in models.ledger] == ["refused", "promoted"]


def test_decisions_at_the_same_time_see_each_other(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression", run=run) for run in ("one", "two", "three")]

    def decide(one: TrainResult) -> None:
        with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
            promote(
                {
                    "execution": one["mlflow_run_id"],
                    "data_kind": "synthetic",
                    "models": ["logistic_regression"],
                    "candidates": [one],
                },
                clean,
                models.settings,
            )

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(decide, trained))
    serving = None
    for line in reversed(models.ledger):
        assert line["previous_version"] == serving
        serving = line["version"] if line["decision"] == "promoted" else serving
    assert models.registry.production().number == serving


@pytest.mark.parametrize(
    "statement",
    ["UPDATE promotion_ledger SET reason = ''", "DELETE FROM promotion_ledger", "TRUNCATE promotion_ledger"],
)
def test_the_ledger_takes_no_change(models: Models, statement: str) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(DatabaseError, match="append-only"):
        models.stores.clean.run(statement)


def test_the_ledger_can_be_read_before_a_pipeline_has_made_it_and_behind_a_decision(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    clean = models.stores.clean
    assert ledger.read(clean, models.settings.name, 20) == models.ledger != []
    clean.run("BEGIN")
    clean.run("DROP TABLE promotion_ledger")
    assert ledger.read(clean, models.settings.name, 20) == []
    clean.run("ROLLBACK")


def test_a_rollback_goes_to_the_version_before_and_is_written_down(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    result = models.rollback(reason="a complaint")
    assert (result["version"], result["previous_version"]) == ("1", "2")
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["decision"], line["version"], line["reason"]) == ("rolled back", "1", "a complaint")


def test_a_rollback_can_name_its_version(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert models.rollback("1")["previous_version"] == "3"
    assert models.registry.production().number == "1"


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1", "in Production already"),
        ("7", "there is no version 7"),
        ("x", "must be a version number"),
        ("", "must be a version number"),
        (None, "has no version before 1"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused_by_name(models: Models, version: str | None, says: str) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(InvalidRequest, match=says):
        models.rollback(version)
    assert len(models.ledger) == 1


def test_without_a_version_in_production_there_is_nothing_to_roll_back(models: Models) -> None:
    with pytest.raises(InvalidRequest, match="nothing to roll back"):
        models.rollback()


@pytest.mark.parametrize("request_", ["2", None, {"versions": "2"}, {"version": 2}, {"reason": 5}], ids=repr)
def test_a_rollback_that_is_not_asked_for_as_it_should_is_refused_by_name(models: Models, request_: Any) -> None:
    with pytest.raises(InvalidRequest):
        rollback(request_, models.stores.clean, models.settings)


def test_a_rollback_to_a_version_whose_scorer_is_another_is_refused(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    models.client.set_model_version_tag(models.settings.name, "1", "scorer_sha256", "0" * 64)
    with pytest.raises(InvalidRequest, match=r"version 1 .* cannot be served: .*SHA-256"):
        models.rollback()
    assert models.registry.production().number == "2"
    assert len(models.ledger) == 2


def test_two_rollbacks_in_a_row_go_two_versions_back(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert [models.rollback()["version"], models.rollback()["version"]] == ["2", "1"]
    with pytest.raises(InvalidRequest, match="has no version before 1"):
        models.rollback()


def test_a_version_that_was_rolled_back_from_comes_back_by_a_rollback_only(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="one")
    second = models.candidate("logistic_regression", run="two")
    models.promote(second, execution="two")
    models.rollback(reason="a complaint")
    result = models.promote(second, execution="three")
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "rollback to version 1 (a complaint)" in result["reason"]
    assert models.rollback("2")["version"] == "2"
    assert "in Production already" in models.promote(second, execution="four")["reason"]


def test_an_older_model_that_is_only_as_good_is_refused(models: Models) -> None:
    models.load()
    older, newer = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    models.promote(newer)
    result = models.promote(older)
    assert result["decision"] == "refused" and "it was not trained later" in result["reason"]


def test_too_few_early_readmissions_to_judge_calibration_are_told_in_the_reason(models: Models) -> None:
    models.load()
    assert "not checked: only" in models.promote(models.candidate("logistic_regression"))["reason"]


def replace_scorer(models: Models, trained: TrainResult, **fields: Any) -> None:
    """The run's scorer document with some fields changed, under the right hash."""
    run = trained["mlflow_run_id"]
    document = mlflow.artifacts.load_dict(f"runs:/{run}/scorer.json")
    content = json.dumps({**document, **fields})
    models.client.log_text(run, content, "scorer.json")
    for version in models.client.search_model_versions(f"run_id = '{run}'"):
        models.client.set_model_version_tag(version.name, version.version, "scorer_sha256", digest(content.encode()))


def remove_scorer(models: Models, trained: TrainResult) -> None:
    s3 = models.stores.s3
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKETS[1])
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    (key,) = (key for key in keys if trained["mlflow_run_id"] in key and key.endswith("scorer.json"))
    s3.delete_object(Bucket=BUCKETS[1], Key=key)


LINEAR_OF_ONE = {
    "type": "linear",
    "mean": [0.0],
    "scale": [1.0],
    "coefficients": [[0.0], [0.0], [0.0]],
    "intercepts": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param({"format_version": 99}, "version 99", id="unknown-format"),
        pytest.param(
            {"inputs": numbers("shoe_size"), "model": LINEAR_OF_ONE},
            "no longer contains its features shoe_size",
            id="features",
        ),
        pytest.param({"classes": ["<30", ">30", "never"]}, "its classes are <30, >30, never", id="classes"),
        pytest.param(None, "scorer document cannot be read", id="gone"),
    ],
)
def test_a_model_that_cannot_be_scored_any_more_is_replaced(
    models: Models, damage: dict[str, Any] | None, says: str
) -> None:
    models.load()
    first = models.candidate("logistic_regression", run="one")
    models.promote(first)
    if damage:
        replace_scorer(models, first, **damage)
    else:
        remove_scorer(models, first)
    result = models.promote(models.candidate("logistic_regression", run="two"))
    assert (result["decision"], result["production_version"]) == ("promoted", "2")
    assert "version 1 (logistic_regression) can no longer be scored" in result["reason"] and says in result["reason"]


def test_a_challenger_that_cannot_be_scored_is_refused(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    second = models.candidate("logistic_regression", run="two")
    remove_scorer(models, second)
    result = models.promote(second)
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "version 2 (logistic_regression) cannot be scored" in result["reason"]


def test_the_history_is_empty_before_anything_was_migrated(models: Models) -> None:
    models.stores.clean.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert ledger.read(models.stores.clean, models.settings.name, 20) == []
