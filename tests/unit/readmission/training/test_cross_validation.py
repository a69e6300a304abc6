from typing import Any

import numpy as np
import pytest
from readmission.domain.features import FEATURES, INPUTS
from readmission.domain.payloads import Family
from readmission.domain.splits import split_of
from readmission.errors import NoTrainingData
from readmission.evaluation.dataset import Part
from readmission.training import families
from readmission.training.cross_validation import FOLDS, RECIPES, CrossValidation, evaluate, folds, position
from threadpoolctl import threadpool_limits

from tests.unit.readmission.training.tables import encounters

TABLE = encounters(900)


@pytest.fixture(scope="module")
def found() -> CrossValidation:
    with threadpool_limits(1):
        return evaluate(TABLE, "logistic_regression")


def test_every_recipe_is_evaluated_in_every_fold(found: CrossValidation) -> None:
    assert list(found.metrics) == list(RECIPES) and {len(values) for values in found.metrics.values()} == {FOLDS}
    assert (found.rows, found.patients) == (len(TABLE), TABLE["patient_nbr"].nunique())
    mean, deviation = found.mean("served", "auc_any")
    values = [fold["auc_any"] for fold in found.metrics["served"]]
    assert mean == pytest.approx(sum(values) / 5) and deviation == pytest.approx(np.std(values, ddof=1))
    assert 0.5 < mean < 0.9


def test_the_gain_is_paired_over_all_patients(found: CrossValidation) -> None:
    difference = found.gain.auc_early
    assert difference.low < difference.value < difference.high
    by_fold = found.mean("served", "auc_early")[0] - found.mean("14 only", "auc_early")[0]
    assert difference.value == pytest.approx(by_fold, abs=0.05)


def test_a_patient_is_tested_in_one_fold_and_is_in_one_part_of_each_fold() -> None:
    found = list(folds(TABLE))
    assert sorted(np.concatenate([fold.test.patients for fold in found])) == sorted(TABLE["patient_nbr"])
    for fold in found:
        parts = [part.patients for part in (fold.training, fold.validation, fold.test)]
        assert sorted(np.concatenate(parts)) == sorted(TABLE["patient_nbr"])
        assert sum(len(set(part)) for part in parts) == TABLE["patient_nbr"].nunique()
        assert 0.6 < len(fold.training.target) / len(TABLE) < 0.8


def test_the_14_only_recipe_never_sees_other_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[str]] = []
    fit = families.fit

    def remember(family: Family, training: Part, validation: Part) -> Any:
        fitted.append(list(training.features))
        return fit(family, training, validation)

    monkeypatch.setattr(families, "fit", remember)
    with threadpool_limits(1):
        evaluate(TABLE, "logistic_regression")
    assert fitted == [list(INPUTS), list(FEATURES)] * FOLDS


def test_a_patients_position_is_independent_of_the_pipelines_split() -> None:
    positions = [position(number) for number in range(40_000) if split_of(str(number)) == "test"]
    assert set(positions) == set(range(100))


def test_progress_is_reported_after_each_fold() -> None:
    reported: list[int] = []
    with threadpool_limits(1):
        evaluate(TABLE, "logistic_regression", reported.append)
    assert reported == [0, 1, 2, 3, 4]


def test_too_few_rows_are_refused_with_the_fold() -> None:
    with pytest.raises(NoTrainingData, match="fold 1 of 12 clean rows lacks a class"):
        evaluate(TABLE[:12], "logistic_regression")
