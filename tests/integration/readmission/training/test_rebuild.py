from collections.abc import Iterator

import mlflow
import pytest
from readmission.errors import PatientsErased, RebuildImpossible
from readmission.evaluation import dataset
from readmission.pipeline import synthetic
from readmission.training import rebuild as module
from readmission.training.rebuild import Rebuilt, rebuild

from tests.integration.readmission.conftest import Stores, changed
from tests.integration.readmission.models import MLFLOW_WARNINGS, Models, Trainings

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, request.node.name[:60], trainings)
    while mlflow.active_run():
        mlflow.end_run()


def again(models: Models, version: str) -> Rebuilt:
    return rebuild(version, models.stores.clean, models.stores.raw, models.settings)


def test_a_version_is_trained_again_exactly_after_deliveries_changed_and_withdrew_its_rows(models: Models) -> None:
    rows = list(synthetic.rows(1500, seed=1))
    first = models.stores.deliver(rows[:900])
    models.stores.ingest(first)
    models.stores.tidy(first)
    models.stores.load(rows[900:])
    version = models.promote(models.train("gradient_boosting", kind="real"), kind="real")["version"]
    before = dataset.rows_hash(models.stores.clean, "real")

    others = [changed(row, num_medications="40", readmitted="<30") for row in rows[800:1000]]
    models.stores.load([*others, *synthetic.rows(300, seed=2)])
    models.stores.withdraw(first)
    after = dataset.rows_hash(models.stores.clean, "real")
    assert before != after

    found = again(models, version)
    assert found.is_exact and found.differences == ()
    assert str(found).startswith(f"Version {version}, trained again from its ") and " of 2 deliveries " in str(found)
    assert dataset.rows_hash(models.stores.clean, "real") == after


def test_what_differs_is_named_when_another_code_trains_another_model(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load(kind="real")
    version = models.promote(models.train("logistic_regression", kind="real"), kind="real")["version"]
    monkeypatch.setattr(module, "code_version", lambda: "another")
    monkeypatch.setattr(module, "scorer_of", lambda *_: b"{}")
    found = again(models, version)
    assert not found.is_exact and found.scorer not in (None, found.expected)
    assert "has another scorer" in str(found) and "What differs: code version another, not " in str(found)


def test_erased_patients_make_an_exact_rebuild_impossible(models: Models) -> None:
    models.load(kind="real")
    version = models.promote(models.train("logistic_regression", kind="real"), kind="real")["version"]
    clean = models.stores.clean
    clean.run("DELETE FROM clean_row WHERE patient_nbr = (SELECT min(patient_nbr) FROM clean_row)")
    with pytest.raises(RebuildImpossible, match="cleaned again by another release, or rows were deleted") as error:
        again(models, version)
    assert not isinstance(error.value, PatientsErased)
    raw = models.stores.raw
    raw.run(
        "INSERT INTO erasure (digest, site, requested_by, reason, completed_at, report)"
        " VALUES ('d', 'default', 'Ada', 'request', now(), '[]')"
    )
    try:
        with pytest.raises(
            PatientsErased, match=r"batch 1: it had 1,500 valid rows, now 1,49\d\. Patients were erased"
        ):
            again(models, version)
    finally:
        raw.run("DELETE FROM erasure WHERE digest = 'd'")


def test_of_a_version_of_an_earlier_release_it_says_what_is_missing(models: Models) -> None:
    models.load()
    version = models.promote(models.candidate("logistic_regression"))["version"]
    with pytest.raises(RebuildImpossible, match=r"has no training_rows\.json.*clean rows of today are the same"):
        again(models, version)


def test_a_version_that_does_not_exist_is_named(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(RebuildImpossible, match="there is no version 99"):
        again(models, "99")
