"""Promotions against real servers; `tests/unit/readmission/promotion/test_verdict.py` has the rules."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import mlflow
import pytest
from readmission import settings
from readmission.domain.features import INPUTS
from readmission.domain.payloads import TrainResult
from readmission.errors import ModelUnavailable, NoCandidates, NothingToRollBack
from readmission.promotion import scores, verdict
from readmission.promotion.promote import promote
from readmission.registry.mlflow_client import digest
from readmission.scoring.scorer import load
from readmission.storage.database import connect

from tests.integration.readmission.conftest import BUCKETS
from tests.integration.readmission.models import MLFLOW_WARNINGS, Models
from tests.unit.readmission.documents import numbers

pytestmark = MLFLOW_WARNINGS


def test_the_first_model_gets_the_alias_and_the_stage(models: Models) -> None:
    models.load()
    result = models.promote(models.train("logistic_regression"))
    version = models.client.get_model_version_by_alias(models.settings.name, "Production")
    assert (result["decision"], version.version, version.current_stage) == ("promoted", "1", "Production")
    assert version.tags["data_kind"] == "synthetic" and version.tags["decision"].startswith("promoted: ")


def test_serving_reads_the_time_and_reason_of_a_promotion_and_of_a_rollback(models: Models) -> None:
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


def test_only_the_best_candidate_by_validation_is_registered(models: Models) -> None:
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


def test_a_newer_model_that_is_as_good_takes_over_and_the_stage_moves_with_it(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    result = models.promote(models.candidate("logistic_regression", run="two"))
    stages = {
        version.version: version.current_stage
        for version in models.client.search_model_versions(f"name = '{models.settings.name}'")
    }
    assert (result["decision"], stages) == ("promoted", {"1": "Archived", "2": "Production"})


def test_a_worse_model_does_not_replace_the_version_in_production(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression"), models.candidate("gradient_boosting")]
    losses = [models.client.get_run(one["mlflow_run_id"]).data.metrics["validation_log_loss"] for one in trained]
    better, worse = sorted(trained, key=lambda one: losses[trained.index(one)])
    models.promote(better)
    result = models.promote(worse)
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert models.registry.production().number == "1"


def test_a_model_trained_on_synthetic_data_never_replaces_one_trained_on_real_data(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    result = models.promote(models.candidate("logistic_regression", run="synthetic"))
    assert (result["decision"], models.registry.production().data_kind) == ("refused", "real")


def test_a_model_trained_on_real_data_replaces_one_trained_on_synthetic_data(models: Models) -> None:
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


def test_a_candidate_with_an_exact_scorer_is_preferred_to_a_better_one_without(models: Models) -> None:
    models.load()
    exact, better = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    models.client.log_metric(better["mlflow_run_id"], "validation_log_loss", 0.1)
    models.client.log_metric(better["mlflow_run_id"], "scorer_largest_difference", 1e-6)
    assert models.promote(better, exact)["decision"] == "promoted"
    assert models.registry.production().run_id == exact["mlflow_run_id"]


def test_without_a_finished_training_run_there_is_nothing_to_promote(models: Models) -> None:
    with pytest.raises(NoCandidates, match="run the pipeline from 'train'"):
        models.promote()
    assert models.ledger == []


def test_without_candidates_the_newest_finished_run_of_the_family_is_taken(models: Models) -> None:
    models.load()
    models.train("logistic_regression", run="one")
    newest = models.train("logistic_regression", run="two")
    models.promote()
    assert models.registry.production().run_id == newest["mlflow_run_id"]


def test_the_refusal_of_a_worse_model_is_written_to_the_ledger_with_the_interval(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    # With so few rows no model is certainly worse; a margin that no model can meet has the same effect.
    monkeypatch.setattr(verdict, "MARGIN", -1.0)
    result = models.promote(models.candidate("gradient_boosting"))
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "on the same" in result["reason"] and "may be worse by more than" in result["reason"]
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["version"], line["previous_version"], line["decision"]) == ("2", "1", "refused")
    assert set(line["metrics"]["difference"]["log_loss"]) == {"value", "low", "high"}
    assert line["metrics"]["test"]["rows"] > line["metrics"]["test"]["patients"] > line["metrics"]["test"]["early"] > 0
    assert line["reason_code"] == "not_better"
    assert set(line["metrics"]["incumbent"]) == set(line["metrics"]["challenger"]) >= {"log_loss", "auc_early"}


def test_a_miscalibrated_model_is_refused_even_as_the_first(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.load()
    monkeypatch.setattr(verdict, "ENOUGH_EARLY", 1)
    monkeypatch.setattr(verdict, "LARGEST_ECE", 0.0)
    result = models.promote(models.candidate("logistic_regression"))
    assert result["decision"] == "refused" and "calibration error" in result["reason"]
    with pytest.raises(ModelUnavailable):
        models.registry.production()


def test_an_execution_decides_once_even_if_its_step_runs_again(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    first = models.promote(trained, execution="execution-1")
    models.promote(models.candidate("gradient_boosting"), execution="execution-2")
    assert models.promote(trained, execution="execution-1") == first
    assert len(models.ledger) == 2


@pytest.mark.parametrize("execution", ["execution-1", None])
def test_a_step_that_failed_after_writing_to_the_ledger_is_completed_when_it_runs_again(
    models: Models, failing_after_the_ledger: Callable[[Callable[[], Any]], None], execution: str | None
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="execution-0")
    trained = models.candidate("logistic_regression", run="two")
    failing_after_the_ledger(lambda: models.promote(trained, execution=execution))
    assert models.registry.production().number == "1"
    result = models.promote(trained, execution=execution)
    assert (result["decision"], result["production_version"]) == ("promoted", "2")
    version = models.client.get_model_version_by_alias(models.settings.name, "Production")
    assert (version.version, version.current_stage) == ("2", "Production")
    assert version.tags["decision"].startswith("promoted: ")
    assert [(line["version"], line["previous_version"]) for line in models.ledger] == [("2", "1"), ("1", None)]


def test_a_step_that_failed_and_never_ran_again_is_completed_by_the_next(
    models: Models, failing_after_the_ledger: Callable[[Callable[[], Any]], None]
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="execution-1")
    trained = models.candidate("logistic_regression", run="two")
    failing_after_the_ledger(lambda: models.promote(trained, execution="execution-2"))
    assert models.rollback()["previous_version"] == "2"
    assert models.registry.production().number == "1"


def stop_before_the_decision(models: Models, monkeypatch: pytest.MonkeyPatch, trained: TrainResult) -> None:
    """Runs a promotion that registers its version, and then its function is killed."""

    class Killed(BaseException): ...

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scores.TestRows, "load", kill)
        with pytest.raises(Killed), connect("clean", settings.DatabaseSettings.from_environment()) as clean:
            event: Any = {"execution": "killed", "data_kind": "synthetic", "models": [], "candidates": [trained]}
            promote(event, clean, models.settings)


def test_a_version_of_a_promotion_that_stopped_is_refused_by_the_next_promotion(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    stop_before_the_decision(models, monkeypatch, models.candidate("logistic_regression", run="two"))
    assert [line["version"] for line in models.ledger] == ["1"]
    models.promote(models.candidate("logistic_regression", run="three"))
    decided = [(line["version"], line["decision"], line["reason_code"]) for line in models.ledger]
    assert decided == [("3", "promoted", "newer"), ("2", "refused", "broke_off"), ("1", "promoted", "first")]
    assert models.client.get_model_version(models.settings.name, "2").tags["decision"].startswith("refused: ")
    models.promote(models.candidate("logistic_regression", run="four"))
    assert len(models.ledger) == 4


@pytest.mark.parametrize("in_between", [False, True])
def test_a_promotion_that_stopped_is_finished_when_its_step_runs_again(
    models: Models, monkeypatch: pytest.MonkeyPatch, in_between: bool
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    trained = models.candidate("logistic_regression", run="two")
    stop_before_the_decision(models, monkeypatch, trained)
    if in_between:
        with pytest.raises(NothingToRollBack):
            models.rollback()  # it refuses what it finds undecided
    result = models.promote(trained, execution="killed")
    assert (result["version"], result["decision"]) == ("2", "promoted")
    assert models.ledger[0]["execution"] == "killed" and len(models.ledger) == 2 + in_between


def test_a_version_that_a_person_registered_is_left_alone(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    models.client.create_model_version(models.settings.name, source="s3://somewhere/else")
    models.promote(models.candidate("logistic_regression", run="three"))
    assert [line["version"] for line in models.ledger] == ["3", "1"]


def test_synthetic_data_does_not_follow_a_real_model_that_was_deleted_in_the_registry(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    models.client.delete_model_version(models.settings.name, "1")
    result = models.promote(models.candidate("logistic_regression", run="synthetic"))
    assert (result["decision"], result["production_version"]) == ("refused", "")
    assert models.ledger[0]["reason_code"] == "synthetic_over_real" and models.ledger[0]["previous_version"] == "1"


def test_synthetic_data_does_not_follow_a_real_model_whose_alias_was_moved_to_a_synthetic_one(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="synthetic"))
    models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    models.client.set_registered_model_alias(models.settings.name, "Production", "1")
    result = models.promote(models.candidate("logistic_regression", run="again"))
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "the last version that the ledger put into Production on real data" in result["reason"]


def test_after_the_version_in_production_was_deleted_a_new_one_is_promoted_but_not_as_the_first(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    models.client.delete_model_version(models.settings.name, "1")
    result = models.promote(models.candidate("logistic_regression", run="two"))
    assert (result["decision"], result["production_version"]) == ("promoted", "2")
    assert models.ledger[0]["reason_code"] == "previous_gone" and "no longer in the registry" in result["reason"]


def test_a_version_whose_alias_was_removed_is_compared_with_and_can_return(models: Models) -> None:
    models.load()
    first = models.candidate("logistic_regression", run="one")
    models.promote(first)
    models.client.delete_registered_model_alias(models.settings.name, "Production")
    assert models.promote(first, execution="again")["decision"] == "promoted"
    assert models.ledger[0]["reason_code"] == "returned" and models.registry.production().number == "1"
    models.client.delete_registered_model_alias(models.settings.name, "Production")
    models.promote(models.candidate("logistic_regression", run="two"))
    assert models.ledger[0]["reason_code"] == "newer" and models.ledger[0]["previous_version"] == "1"


def test_an_alias_that_somebody_moved_in_the_registry_is_not_moved_back(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression", run=run) for run in ("one", "two")]
    for number, one in enumerate(trained):
        models.promote(one, execution=f"execution-{number}")
    models.client.set_registered_model_alias(models.settings.name, "Production", "1")
    models.promote(trained[1], execution="execution-1")
    assert models.registry.production().number == "1"


def test_an_execution_that_runs_again_does_not_undo_later_decisions(models: Models) -> None:
    models.load()
    trained = [models.candidate("logistic_regression", run=run) for run in ("one", "two")]
    for number, one in enumerate(trained):
        models.promote(one, execution=f"execution-{number}")
    models.rollback()
    assert models.promote(trained[1], execution="execution-1")["version"] == "2"
    assert models.registry.production().number == "1"


def test_without_an_execution_the_same_decision_is_written_once(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load()
    first, second = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    assert models.promote(first)["decision"] == models.promote(first)["decision"] == "promoted"
    monkeypatch.setattr(verdict, "MARGIN", -1.0)
    assert models.promote(second) == models.promote(second)
    assert [line["decision"] for line in models.ledger] == ["refused", "promoted"]


def test_concurrent_decisions_see_each_other(models: Models) -> None:
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


def test_an_older_model_that_is_only_as_good_is_refused(models: Models) -> None:
    models.load()
    older, newer = (models.candidate("logistic_regression", run=run) for run in ("one", "two"))
    models.promote(newer)
    result = models.promote(older)
    assert result["decision"] == "refused" and "was not trained later" in result["reason"]


def test_the_reason_says_that_calibration_was_not_checked_with_too_few_early_readmissions(models: Models) -> None:
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
def test_a_model_that_can_no_longer_be_scored_is_replaced(
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
