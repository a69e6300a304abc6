from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.training import comparison
from readmission.training.comparison import Comparison, Difference, Rows, compare, miscalibration, objections
from readmission.training.evaluation import Calibration
from sklearn.metrics import log_loss, roc_auc_score

CLASSES = ("<30", ">30", "NO")
NOTHING = Difference(0.0, -0.001, 0.001)


def some_rows(count: int = 1200, patients: int = 700) -> Rows:
    generator = np.random.default_rng(5)
    return Rows(
        target=generator.choice(CLASSES, count, p=[0.2, 0.3, 0.5]),
        patients=generator.integers(0, patients, count),
        groups=pd.DataFrame({"gender": generator.choice(["Female", "Male"], count)}),
    )


def scores(rows: Rows, skill: float, seed: int = 1, digits: int | None = None) -> Any:
    """Probabilities that know the truth as well as `skill` says; rounded ones have equal values among them."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (len(rows.target), 3))
    truth = np.stack([rows.target == name for name in CLASSES], axis=1)
    powers = np.exp(noise + skill * truth)
    shares = powers / powers.sum(axis=1, keepdims=True)
    return shares if digits is None else np.round(shares, digits) + 10.0**-digits


def test_the_differences_are_those_of_scikit_learn() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.6), scores(rows, 0.3, seed=2)
    found = compare(rows, ours, theirs, CLASSES)
    expected = [log_loss(rows.target, one, labels=list(CLASSES)) for one in (ours, theirs)]
    assert found.log_loss.value == pytest.approx(expected[0] - expected[1])
    expected = [roc_auc_score(rows.early, one[:, 0]) for one in (ours, theirs)]
    assert found.auc_early.value == pytest.approx(expected[0] - expected[1])


def test_equal_scores_count_half_in_the_auc() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.6, digits=1), scores(rows, 0.3, seed=2, digits=1)
    expected = roc_auc_score(rows.early, ours[:, 0]) - roc_auc_score(rows.early, theirs[:, 0])
    assert compare(rows, ours, theirs, CLASSES).auc_early.value == pytest.approx(expected)


def test_a_model_against_itself_differs_by_nothing() -> None:
    rows = some_rows()
    ours = scores(rows, 0.5)
    found = compare(rows, ours, ours, CLASSES)
    assert found.log_loss == Difference(0, 0, 0) and found.auc_early == Difference(0, 0, 0)
    assert objections(found) == []


def test_the_same_rows_give_the_same_interval() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    assert compare(rows, ours, theirs, CLASSES) == compare(rows, ours, theirs, CLASSES)


def test_a_clearly_better_model_has_its_interval_below_zero_and_no_objection() -> None:
    rows = some_rows()
    found = compare(rows, scores(rows, 1.5), scores(rows, 0.1, seed=2), CLASSES)
    assert found.log_loss.high < 0 < found.auc_early.low
    assert objections(found) == []


def test_a_clearly_worse_model_is_objected_to_with_its_interval() -> None:
    rows = some_rows()
    found = compare(rows, scores(rows, 0.1), scores(rows, 1.5, seed=2), CLASSES)
    assert str(found.log_loss) in objections(found)[0]


def test_patients_are_drawn_and_not_rows() -> None:
    """The same rows ten times over tell no more than once, when they are the same patients'."""
    rows = some_rows(300, 300)
    again = Rows(np.tile(rows.target, 10), np.tile(rows.patients, 10), pd.concat([rows.groups] * 10, ignore_index=True))
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    once = compare(rows, ours, theirs, CLASSES).log_loss
    tenfold = compare(again, np.tile(ours, (10, 1)), np.tile(theirs, (10, 1)), CLASSES).log_loss
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.01)


def test_subgroups_too_small_to_tell_are_left_out() -> None:
    rows = some_rows()
    rows.groups.loc[:150, "gender"] = "Unknown"
    found = compare(rows, scores(rows, 0.5), scores(rows, 0.4, seed=2), CLASSES)
    assert set(found.subgroups) == {"gender Female", "gender Male"}


@pytest.mark.parametrize(
    ("difference", "objected"),
    [
        pytest.param(Difference(-0.05, -0.08, -0.01), True, id="lost for sure"),
        pytest.param(Difference(-0.05, -0.12, 0.02), False, id="lost perhaps"),
        pytest.param(Difference(-0.02, -0.03, -0.01), False, id="lost little"),
    ],
)
def test_a_subgroup_that_loses_much_for_sure_is_an_objection(difference: Difference, objected: bool) -> None:
    found = objections(Comparison(NOTHING, NOTHING, {"gender Male": difference}))
    assert [("gender Male" in one) for one in found] == [True] * objected


@pytest.mark.parametrize(
    ("high", "objected"), [(comparison.MARGIN, False), (comparison.MARGIN + 1e-6, True), (-0.001, False)]
)
def test_the_margin_is_what_a_newer_model_may_lose(high: float, objected: bool) -> None:
    assert bool(objections(Comparison(Difference(0.0, -0.01, high), NOTHING, {}))) is objected


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        (Calibration(1.0, 0.0, 0.01), []),
        (Calibration(0.7, 0.0, 0.01), ["slope 0.70"]),
        (Calibration(1.3, 0.0, 0.01), ["slope 1.30"]),
        (Calibration(1.0, 0.0, 0.03), ["error 0.030"]),
        (Calibration(0.5, 0.0, 0.05), ["slope 0.50", "error 0.050"]),
    ],
)
def test_miscalibration_is_told_with_its_figure(calibration: Calibration, says: list[str]) -> None:
    found = miscalibration(calibration, comparison.ENOUGH_EARLY)
    assert len(found) == len(says) and all(part in sentence for part, sentence in zip(says, found, strict=True))


def test_too_few_early_readmissions_say_nothing_on_calibration() -> None:
    assert miscalibration(Calibration(0.1, 0.0, 0.5), comparison.ENOUGH_EARLY - 1) == []
