"""The rules of promotion, one reason at a time."""

import math
from dataclasses import replace

import pytest
from readmission.evaluation.calibration import Calibration
from readmission.evaluation.comparison import Comparison, Difference, Figures
from readmission.promotion import verdict
from readmission.promotion.verdict import (
    Contender,
    Counts,
    Duel,
    Withdrawal,
    loss_objections,
    miscalibration,
    subgroup_objections,
)
from readmission.scoring.export import TOLERANCE

NEW = Contender("2", "random_forest", "real")
OLD = Contender("1", "logistic_regression", "real")
SIZE = {"rows": 14617, "patients": 10727, "early": verdict.ENOUGH_EARLY}
AS_GOOD = Difference(0.0, -0.001, 0.001)
BETTER = Difference(-0.01, -0.02, -0.001)
GOOD = Figures(0.87, 0.68, Calibration(1.02, 0.0, 0.004))
ENOUGH = Counts(rows=14617, patients=10727, early=verdict.ENOUGH_EARLY)
TOO_FEW = replace(ENOUGH, early=verdict.ENOUGH_EARLY - 1)


def comparison(log_loss: Difference = AS_GOOD, **subgroups: Difference) -> Comparison:
    return Comparison(log_loss, AS_GOOD, subgroups)


def duel(log_loss: Difference = AS_GOOD, newer: bool = True) -> Duel:
    return Duel(GOOD, replace(GOOD, log_loss=0.88), comparison(log_loss), newer)


def calibrated(slope: float, ece: float) -> Figures:
    return replace(GOOD, calibration=Calibration(slope, 0.0, ece))


# ---------------------------------------------------------------- what is known without scoring
def test_a_clean_record_leaves_the_verdict_open() -> None:
    assert verdict.by_record(NEW, OLD, 0.0, None) is None
    assert verdict.by_record(NEW, None, TOLERANCE, None) is None


@pytest.mark.parametrize("difference", [1e-6, math.inf])
def test_a_scorer_that_differs_from_its_pipeline_is_refused(difference: float) -> None:
    found = verdict.by_record(NEW, None, difference, None)
    assert found and not found.promoted
    assert found.reason == f"version 2 (random_forest): scorer and pipeline differ by {difference:g}, more than 1e-09"


def test_a_model_trained_on_synthetic_data_does_not_replace_one_trained_on_real_data() -> None:
    found = verdict.by_record(replace(NEW, data_kind="synthetic"), OLD, 0.0, None)
    assert found and not found.promoted and "was trained on synthetic data" in found.reason


@pytest.mark.parametrize("incumbent", [None, replace(OLD, data_kind="synthetic")], ids=["first", "synthetic"])
def test_a_model_trained_on_synthetic_data_may_be_the_first_or_replace_another(incumbent: Contender | None) -> None:
    assert verdict.by_record(replace(NEW, data_kind="synthetic"), incumbent, 0.0, None) is None


@pytest.mark.parametrize("kind", ["synthetic", ""])
def test_synthetic_data_does_not_follow_a_real_model_that_served_last_whatever_has_the_alias(kind: str) -> None:
    incumbent = replace(OLD, data_kind=kind)
    found = verdict.by_record(replace(NEW, data_kind="synthetic"), incumbent, 0.0, None, over_real=True)
    assert found and not found.promoted and found.code == "synthetic_over_real"
    assert "the last version that the ledger put into Production on real data" in found.reason


def test_after_a_version_that_was_deleted_the_challenger_is_not_called_the_first() -> None:
    found = verdict.gone_incumbent(NEW, OLD, GOOD, ENOUGH)
    assert found.promoted and found.code == "previous_gone"
    assert "version 1 (logistic_regression), which served last, is no longer in the registry" in found.reason


def test_a_version_that_a_rollback_took_out_of_production_is_refused() -> None:
    found = verdict.by_record(NEW, OLD, 0.0, Withdrawal("1", "a complaint"))
    assert found and not found.promoted
    assert "taken out of Production by the rollback to version 1 (a complaint)" in found.reason


def test_a_challenger_that_cannot_be_scored_is_refused() -> None:
    found = verdict.unscorable_challenger(NEW, "a feature is missing")
    assert not found.promoted
    assert found.reason == "version 2 (random_forest) cannot be scored: a feature is missing"


# ---------------------------------------------------------------- its own figures
def test_the_first_version_is_promoted_with_its_figures() -> None:
    found = verdict.without_incumbent(NEW, GOOD, ENOUGH)
    assert found.promoted and found.metrics == {"challenger": GOOD.as_json(), "test": SIZE}
    assert found.reason == (
        "version 2 (random_forest) is the first version: log loss 0.8700 on 14,617 test rows, calibration slope 1.02,"
        " error 0.004"
    )


def test_a_miscalibrated_challenger_is_refused_with_or_without_an_incumbent() -> None:
    figures = calibrated(0.5, 0.004)
    for found in (
        verdict.without_incumbent(NEW, figures, ENOUGH),
        verdict.by_own_figures(NEW, OLD, figures, ENOUGH),
        verdict.by_own_figures(NEW, replace(OLD, data_kind="synthetic"), figures, ENOUGH),
    ):
        assert found and not found.promoted and found.metrics == {"challenger": figures.as_json(), "test": SIZE}
        assert found.reason == "version 2 (random_forest): calibration slope 0.50 is outside 0.8 to 1.25"


def test_a_model_trained_on_real_data_replaces_one_trained_on_synthetic_data_without_a_comparison() -> None:
    found = verdict.by_own_figures(NEW, replace(OLD, data_kind="synthetic"), GOOD, ENOUGH)
    assert found and found.promoted and "was trained on real data" in found.reason


@pytest.mark.parametrize("kind", ["real", "synthetic"])
def test_models_trained_on_the_same_kind_of_data_are_compared(kind: str) -> None:
    assert verdict.by_own_figures(replace(NEW, data_kind=kind), replace(OLD, data_kind=kind), GOOD, ENOUGH) is None


def test_a_challenger_replaces_an_incumbent_that_can_no_longer_be_scored() -> None:
    found = verdict.unscorable_incumbent(NEW, OLD, GOOD, ENOUGH, "a feature is missing")
    assert found.promoted
    assert found.reason.endswith("version 1 (logistic_regression) can no longer be scored: a feature is missing")


@pytest.mark.parametrize(
    ("slope", "ece", "says"),
    [
        (1.0, 0.01, []),
        (0.7, 0.01, ["slope 0.70"]),
        (1.3, 0.01, ["slope 1.30"]),
        (1.0, 0.03, ["error 0.030"]),
        (0.5, 0.05, ["slope 0.50", "error 0.050"]),
    ],
)
def test_miscalibration_is_reported_with_its_figure(slope: float, ece: float, says: list[str]) -> None:
    found = miscalibration(calibrated(slope, ece), ENOUGH.early)
    assert len(found) == len(says) and all(part in sentence for part, sentence in zip(says, found, strict=True))


def test_calibration_is_not_checked_with_too_few_early_readmissions() -> None:
    assert miscalibration(calibrated(0.1, 0.5), TOO_FEW.early) == []
    assert verdict.without_incumbent(NEW, calibrated(0.1, 0.5), TOO_FEW).promoted


@pytest.mark.parametrize(("early", "says"), [(499, "not checked: only 499 early readmissions"), (500, "")])
def test_the_reason_says_whether_calibration_was_checked(early: int, says: str) -> None:
    text = verdict.summary(GOOD, replace(ENOUGH, early=early))
    assert "calibration slope 1.02, error 0.004" in text
    assert says in text if says else text.endswith("0.004")


def test_a_model_without_a_slope_is_miscalibrated() -> None:
    assert len(miscalibration(calibrated(math.nan, math.nan), ENOUGH.early)) == 2


# ---------------------------------------------------------------- the comparison
def test_a_better_challenger_is_promoted_even_if_it_is_older() -> None:
    found = verdict.by_comparison(NEW, OLD, duel(BETTER, newer=False), ENOUGH)
    assert found.promoted and found.code == "better"
    assert found.reason == (
        "version 2 (random_forest) compared with version 1 (logistic_regression) on the same 14,617 test rows: log loss"
        " 0.8700 against 0.8800, difference -0.0100 [-0.0200, -0.0010], better; calibration slope 1.02, error 0.004"
    )


@pytest.mark.parametrize("log_loss", [BETTER, Difference(0.01, 0.001, 0.02)], ids=["promoted", "refused"])
def test_a_compared_challenger_has_the_figures_of_both_models(log_loss: Difference) -> None:
    found = verdict.by_comparison(NEW, OLD, duel(log_loss), ENOUGH)
    assert found.metrics == {
        "challenger": GOOD.as_json(),
        "incumbent": GOOD.as_json() | {"log_loss": 0.88},
        "difference": comparison(log_loss).as_json(),
        "test": SIZE,
    }


def test_a_newer_challenger_that_is_as_good_is_promoted() -> None:
    found = verdict.by_comparison(NEW, OLD, duel(), ENOUGH)
    assert found.promoted and "worse by at most 0.002, and trained later" in found.reason and found.code == "newer"


def test_a_worse_challenger_is_refused_with_the_interval() -> None:
    found = verdict.by_comparison(NEW, OLD, duel(Difference(0.01, 0.001, 0.02)), ENOUGH)
    assert not found.promoted
    assert found.reason == (
        "version 2 (random_forest) compared with version 1 (logistic_regression) on the same 14,617 test rows: log loss"
        " 0.8700 against 0.8800, difference +0.0100 [+0.0010, +0.0200]; it may be worse by more than 0.002"
    )
    assert found.code == "not_better"


@pytest.mark.parametrize(
    ("high", "objected"), [(verdict.MARGIN, False), (verdict.MARGIN + 1e-6, True), (-0.001, False)]
)
def test_a_newer_model_may_be_worse_by_the_margin(high: float, objected: bool) -> None:
    assert bool(loss_objections(duel(Difference(0.0, -0.01, high)))) is objected


def test_an_older_model_must_be_better() -> None:
    assert loss_objections(duel(BETTER, newer=False)) == []
    assert "was not trained later" in loss_objections(duel(newer=False))[0]
    assert loss_objections(duel()) == []


def test_an_undefined_difference_is_an_objection() -> None:
    undefined = Difference(math.nan, math.nan, math.nan)
    assert loss_objections(duel(undefined)) != []


@pytest.mark.parametrize(
    ("auc", "objected"),
    [
        pytest.param(Difference(-0.05, -0.08, -0.01), True, id="lost for sure"),
        pytest.param(Difference(-0.05, -0.12, 0.02), False, id="lost perhaps"),
        pytest.param(Difference(-0.02, -0.03, -0.01), False, id="lost little"),
    ],
)
def test_a_subgroup_that_certainly_loses_much_is_an_objection(auc: Difference, objected: bool) -> None:
    found = subgroup_objections(comparison(male=auc))
    assert [("subgroup male" in one) for one in found] == [True] * objected


def test_a_refusal_for_a_subgroup_alone_says_so_in_its_code() -> None:
    found = verdict.by_comparison(
        NEW, OLD, replace(duel(), difference=comparison(male=Difference(-0.1, -0.2, -0.05))), ENOUGH
    )
    assert not found.promoted and found.code == "worse_in_subgroups"


def test_every_objection_is_part_of_the_reason() -> None:
    lost = Difference(-0.1, -0.2, -0.05)
    worse = comparison(Difference(0.01, 0.001, 0.02), male=lost, female=lost)
    found = verdict.by_comparison(NEW, OLD, replace(duel(), difference=worse), ENOUGH)
    assert all(part in found.reason for part in ("may be worse", "subgroup male", "subgroup female"))


def test_a_reason_names_the_families_that_were_not_trained() -> None:
    failed = {"random_forest": "StepTimedOut", "gradient_boosting": "ValueError"}
    assert verdict.with_failed_families("it is better", failed) == (
        "it is better; not trained: random_forest (StepTimedOut), gradient_boosting (ValueError)"
    )
    assert verdict.with_failed_families("it is better", {}) == "it is better"
