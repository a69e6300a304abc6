"""The recipe by which a family would be trained now is the one that its run would have."""

from typing import Any, cast

from pg8000.native import Connection
from readmission.domain.payloads import FAMILIES
from readmission.settings import ModelSettings, Training, TrainingJobSettings
from readmission.training import boosting, earlier, recipe, train

MODEL = ModelSettings("http://mlflow.example", "readmission", max_training_rows=5000)


class Rows:
    """A connection to a clean table with a thousand rows."""

    def run(self, statement: str, **parameters: Any) -> list[list[Any]]:
        return [["a", 1000]]


def recipes(where: Training, rows: int = 0, instances: int = 3) -> dict[str, str]:
    jobs = TrainingJobSettings(where, rows, instances, "readmission")
    return dict(earlier.recipes(cast(Connection, Rows()), "real", jobs, MODEL))


def test_the_function_and_a_job_on_one_machine_train_by_the_same_recipe() -> None:
    assert recipes("lambda") == recipes("container")
    assert set(recipes("lambda")) == set(FAMILIES)


def test_a_recipe_names_the_number_of_rows_and_the_versions_of_the_packages() -> None:
    (text,) = set(recipes("lambda").values())
    assert text.startswith("newest=5000; ")
    assert all(f"{name}==" in text for name in train.REQUIREMENTS)
    # MLflow's filters have no escapes.
    assert "'" not in text and "\\" not in text


def test_only_boosting_is_distributed_and_its_recipe_names_engine_and_workers() -> None:
    found = recipes("distributed")
    assert found.pop("gradient_boosting") == recipe.of_workers(boosting.ENGINE, 3) == "engine=lightgbm; workers=3"
    assert set(found.values()) == set(recipes("lambda").values())


def test_with_few_rows_the_function_trains_all() -> None:
    assert recipes("distributed", rows=1001) == recipes("lambda")
    assert recipes("distributed", rows=1000) == recipes("distributed")


def test_a_trial_on_some_rows_is_a_recipe_of_its_own() -> None:
    assert recipe.of_workers("lightgbm", 2, 500) == "engine=lightgbm; workers=2; rows=500"
