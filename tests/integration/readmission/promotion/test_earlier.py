"""Nothing is trained again that exists, or that another execution is training."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from readmission.domain.payloads import Earlier, Family, Stage, parse_request
from readmission.pipeline import runs
from readmission.promotion.earlier import look
from readmission.settings import ModelSettings, TrainingJobSettings

from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS

JOBS = TrainingJobSettings("lambda", 0, 1, "readmission")
ONE: Sequence[Family] = ("logistic_regression",)


def execution(models: Models, name: str) -> str:
    """An execution that *plan* has registered; each test has its own."""
    own = f"{models.settings.name}-{name}"
    runs.register(models.stores.clean, own, "2026-01-01T00:00:00Z", parse_request({}), timedelta())
    return own


def ask(
    models: Models,
    name: str = "second",
    *,
    families: Sequence[Family] = ONE,
    running: Sequence[str] = (),
    stop_after: Stage = "promote",
    force: bool = False,
    settings: ModelSettings | None = None,
) -> Earlier:
    asked: Any = {"data_kind": "synthetic", "models": [*families], "stop_after": stop_after, "force": force}
    event: Any = {
        "execution": execution(models, name),
        "earlier": asked | {"running": [{"Name": one} for one in running]},
    }
    return look(event, models.stores.clean, settings or models.settings, JOBS)


def test_the_decision_on_models_of_the_same_data_code_and_settings_stands(models: Models) -> None:
    models.load()
    assert ask(models)["outcome"] == "train"
    trained = models.candidate("logistic_regression")
    found = ask(models)
    assert (found["outcome"], found["candidates"], found["promotion"]) == ("trained", [trained], None)
    promoted = models.promote(trained, execution="first")
    found = ask(models)
    assert (found["outcome"], found["execution"], found["candidates"]) == ("decided", "first", [trained])
    assert found["promotion"] == promoted
    assert len(models.ledger) == 1
    # An execution that stops after the training does not ask for a decision.
    assert ask(models, stop_after="train")["outcome"] == "trained"


def test_the_earlier_decision_says_what_serves_now(models: Models) -> None:
    models.load()
    first, second = (models.candidate("logistic_regression", run=name) for name in ("one", "two"))
    models.promote(first, execution="first")
    models.promote(second, execution="second")
    models.rollback()
    found = ask(models, "third")["promotion"]
    assert found
    assert (found["decision"], found["version"], found["production_version"]) == ("promoted", "2", "1")


def test_other_data_settings_or_families_are_something_new_and_so_is_what_is_forced(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"), execution="first")
    assert ask(models)["outcome"] == "decided"
    fewer = replace(models.settings, max_training_rows=1_000)
    # The executions are those of one test: the same may ask again.
    assert ask(models, settings=fewer)["outcome"] == "train"
    assert ask(models, families=("logistic_regression", "random_forest"))["outcome"] == "train"
    assert ask(models, force=True)["outcome"] == "train"
    models.load(seed=2)
    assert ask(models)["outcome"] == "train"


def test_a_version_that_is_no_longer_registered_is_decided_on_again(models: Models) -> None:
    models.load()
    trained = models.candidate("logistic_regression")
    models.promote(trained, execution="first")
    models.client.delete_registered_model(models.settings.name)
    found = ask(models)
    assert (found["outcome"], found["candidates"]) == ("trained", [trained])


def test_of_two_executions_that_would_train_the_same_one_waits(models: Models) -> None:
    models.load()
    first = execution(models, "first")
    assert ask(models, "first", running=[first])["outcome"] == "train"
    assert ask(models, "first", running=[first])["outcome"] == "train"  # the step runs again
    for force in (False, True):
        found = ask(models, "second", running=[first], force=force)
        assert (found["outcome"], found["execution"], found["wait_seconds"]) == ("wait", first, 10)
    # Step Functions may not list an execution yet that has just begun.
    assert ask(models, "second")["outcome"] == "wait"
    models.stores.clean.run(
        "UPDATE pipeline_run SET trains_since = now() - interval '1 hour' WHERE execution = :name", name=first
    )
    found = ask(models, "second", running=[first])
    assert (found["outcome"], found["wait_seconds"]) == ("wait", 120)
    assert ask(models, "second")["outcome"] == "train"  # the first has ended without models


def test_an_execution_waits_for_the_decision_of_the_one_that_has_trained(models: Models) -> None:
    models.load()
    first = execution(models, "first")
    assert ask(models, "first", running=[first])["outcome"] == "train"
    trained = models.candidate("logistic_regression")
    assert ask(models, "second", running=[first])["outcome"] == "wait"
    assert ask(models, "second", running=[first], stop_after="train")["outcome"] == "trained"
    models.promote(trained, execution=first)
    found = ask(models, "second", running=[first])
    assert (found["outcome"], found["execution"]) == ("decided", first)


def test_executions_of_other_data_or_models_do_not_wait_for_each_other(models: Models) -> None:
    models.load()
    first = execution(models, "first")
    assert ask(models, "first", running=[first])["outcome"] == "train"
    other = replace(models.settings, name=f"{models.settings.name}-other")
    assert ask(models, "second", running=[first], settings=other)["outcome"] == "train"
    models.load(seed=2)
    assert ask(models, "third", running=[first])["outcome"] == "train"
