from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.domain.features import FEATURES, INPUTS
from readmission.domain.payloads import Family
from readmission.domain.splits import split_of
from readmission.errors import NoTrainingData
from readmission.evaluation.dataset import Part
from readmission.training import cross_validation, families
from readmission.training.cross_validation import RECIPES, SPLITS, CrossValidation, evaluate, place_of
from threadpoolctl import threadpool_limits

from tests.unit.readmission.training.tables import encounters

TABLE = encounters(900)


@pytest.fixture(scope="module")
def found() -> CrossValidation:
    with threadpool_limits(1):
        return evaluate(TABLE, "logistic_regression")


def test_every_recipe_is_measured_in_every_split(found: CrossValidation) -> None:
    assert list(found.metrics) == list(RECIPES) and {len(splits) for splits in found.metrics.values()} == {SPLITS}
    assert (found.rows, found.patients) == (len(TABLE), TABLE["patient_nbr"].nunique())
    mean, deviation = found.mean("served", "auc_any")
    values = [split["auc_any"] for split in found.metrics["served"]]
    assert mean == pytest.approx(sum(values) / 5) and deviation == pytest.approx(np.std(values, ddof=1))
    assert 0.5 < mean < 0.9


def test_the_gain_is_paired_over_all_patients(found: CrossValidation) -> None:
    difference = found.gain.auc_early
    assert difference.low < difference.value < difference.high
    by_split = found.mean("served", "auc_early")[0] - found.mean("14 only", "auc_early")[0]
    assert difference.value == pytest.approx(by_split, abs=0.05)


def test_a_patient_is_tested_once_and_never_learned_from_in_that_split(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Part] = []
    part_of = cross_validation.part_of

    def remember(rows: pd.DataFrame) -> Part:
        seen.append(part_of(rows))
        return seen[-1]

    def guess(family: str, training: Part, validation: Part, test: Part) -> dict[str, Any]:
        return dict.fromkeys(RECIPES, np.full((len(test.target), 3), 1 / 3))

    monkeypatch.setattr(cross_validation, "part_of", remember)
    monkeypatch.setattr(cross_validation, "_forecasts", guess)
    evaluate(TABLE, "logistic_regression")
    tested, learned, validated = ([part.patients for part in seen[place::3]] for place in range(3))
    assert sorted(np.concatenate(tested)) == sorted(TABLE["patient_nbr"])
    for parts in zip(tested, learned, validated, strict=True):
        assert sorted(np.concatenate(parts)) == sorted(TABLE["patient_nbr"])
        assert sum(len(set(part)) for part in parts) == TABLE["patient_nbr"].nunique()
        assert 0.6 < len(parts[1]) / len(TABLE) < 0.8


def test_the_14_only_recipe_never_sees_another_input(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[str]] = []
    fit = families.fit

    def remember(family: Family, training: Part, validation: Part) -> Any:
        fitted.append(list(training.features))
        return fit(family, training, validation)

    monkeypatch.setattr(families, "fit", remember)
    with threadpool_limits(1):
        evaluate(TABLE, "logistic_regression")
    assert fitted == [list(INPUTS), list(FEATURES)] * SPLITS


def test_a_patients_place_does_not_follow_from_the_split_of_the_pipeline() -> None:
    places = [place_of(number) for number in range(40_000) if split_of(str(number)) == "test"]
    assert set(places) == set(range(100))


def test_progress_is_told_split_by_split() -> None:
    told: list[int] = []
    with threadpool_limits(1):
        evaluate(TABLE, "logistic_regression", told.append)
    assert told == [0, 1, 2, 3, 4]


def test_too_few_rows_are_refused_with_the_split() -> None:
    with pytest.raises(NoTrainingData, match="split 1 of 12 clean rows lacks a class"):
        evaluate(TABLE[:12], "logistic_regression")
