import json
import time
from math import inf, isnan, log

import numpy as np
import pandas as pd
import pytest
from readmission.evaluation.dataset import Part
from readmission.evaluation.evaluation import (
    SELECTION,
    calibration,
    evaluation_document,
    feature_effects,
    flat_metrics,
    intervals,
    metrics,
    subgroups,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

CLASSES = ["<30", ">30", "NO"]
TARGET = ["<30", ">30", "NO", "NO"]
SHARES = [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]
BY_HAND = {
    "log_loss": -(log(0.5) + log(0.5) + log(0.3) + log(0.8)) / 4,
    # The third row's likeliest class is <30 in place of NO.
    "accuracy": 3 / 4,
    # <30: precision 1/2, recall 1; >30: both 1; NO: precision 1, recall 1/2.
    "f1_macro": (2 / 3 + 1 + 2 / 3) / 3,
    # Pairs in the right order, ties half: <30 2 of 3, >30 3 of 3, NO 3.5 of 4.
    "auc_macro_ovr": (2 / 3 + 1 + 3.5 / 4) / 3,
    "auc_early": 2 / 3,
    # The one <30 is second in the ranking.
    "average_precision_early": 1 / 2,
    "brier_early": (0.5**2 + 0.2**2 + 0.6**2 + 0.1**2) / 4,
    "log_loss_early": -(log(0.5) + log(0.8) + log(0.4) + log(0.9)) / 4,
    # A tenth of four rows lies within the first, which is NO.
    "top10_ppv": 0.0,
    "top10_recall": 0.0,
    # 1 - NO: 0.8 and 0.7 of the readmitted against 0.7 and 0.2.
    "auc_any": 3.5 / 4,
    # One of one at 0.8, then two of three at 0.7.
    "average_precision_any": (1 + 2 / 3) / 2,
    "brier_any": (0.2**2 + 0.3**2 + 0.7**2 + 0.2**2) / 4,
    "log_loss_any": -(log(0.8) + log(0.7) + log(0.3) + log(0.8)) / 4,
}
CALIBRATIONS = {
    f"{question}_{what}"
    for question in ("early", "any")
    for what in ("calibration_slope", "calibration_intercept", "ece")
}


def part(rows: int = 1200, seed: int = 1) -> tuple[Part, np.ndarray]:
    """Rows of patients with about two stays each, and the probabilities that they were drawn from."""
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=rows)
    shares = probabilities(pd.DataFrame({"signal": signal}))
    target = np.array(CLASSES)[(generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 2)]
    groups = pd.DataFrame(
        {
            "race": generator.choice(["Caucasian", "Asian"], rows, p=[0.98, 0.02]),
            "gender": generator.choice(["Female", "Male"], rows),
            "age_band": generator.choice(["under 60", "60 and over"], rows),
        }
    )
    features = pd.DataFrame({"noise": generator.normal(size=rows), "signal": signal})
    return Part(features, pd.Series(target), generator.integers(0, rows // 2, rows), groups), shares


def probabilities(features: pd.DataFrame) -> np.ndarray:
    signal = features["signal"].to_numpy()
    exponentials = np.exp(np.stack([-1.5 + 0.8 * signal, -0.35 + 0.4 * signal, 0.4 - 0.2 * signal], axis=1))
    found: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found


@pytest.mark.parametrize(("name", "value"), BY_HAND.items(), ids=BY_HAND)
def test_a_metric_is_what_it_is_by_hand(name: str, value: float) -> None:
    assert metrics(TARGET, SHARES, CLASSES)[name] == pytest.approx(value, abs=1e-7)


def test_no_metric_is_left_out_of_these_tests() -> None:
    assert metrics(TARGET, SHARES, CLASSES).keys() == BY_HAND.keys() | CALIBRATIONS


def test_the_metric_that_selects_is_one_of_them() -> None:
    assert SELECTION in metrics(TARGET, SHARES, CLASSES)


def test_perfect_probabilities_have_perfect_metrics() -> None:
    found = metrics(["<30", ">30", "NO"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], CLASSES)
    ideal = {name: float("loss" not in name and "brier" not in name) for name in BY_HAND}
    ideal["top10_recall"] = 0.3  # of three rows, a tenth is that part of the one
    assert {name: found[name] for name in BY_HAND} == pytest.approx(ideal)
    assert found["early_ece"] == found["any_ece"] == pytest.approx(0)


@pytest.mark.parametrize("digits", [1, 2, 15], ids=["many ties", "some ties", "no ties"])
def test_the_metrics_are_those_of_scikit_learn(digits: int) -> None:
    rows, shares = part()
    shares = shares.round(digits)
    shares[:, 2] = 1 - shares[:, 0] - shares[:, 1]
    truth, found = rows.target.to_numpy(), metrics(rows.target.to_list(), shares, CLASSES)
    # Its multi-class AUC and log loss want sums of 1 to the last digit.
    areas = [roc_auc_score(truth == name, shares[:, place]) for place, name in enumerate(CLASSES)]
    assert found["auc_macro_ovr"] == pytest.approx(np.mean(areas))
    assert found["auc_any"] == pytest.approx(roc_auc_score(truth != "NO", 1 - shares[:, 2]))
    assert found["average_precision_early"] == pytest.approx(average_precision_score(truth == "<30", shares[:, 0]))
    guess = np.array(CLASSES)[shares.argmax(axis=1)]
    assert found["f1_macro"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["log_loss_early"] == pytest.approx(log_loss(truth == "<30", shares[:, 0]))


def test_the_recalibration_is_that_of_an_unpenalised_logistic_regression() -> None:
    rows, shares = part()
    truth, given = rows.target.to_numpy() == "<30", shares[:, 0] ** 1.3
    logit = np.log(given / (1 - given)).reshape(-1, 1)
    fitted = LogisticRegression(C=inf, tol=1e-10).fit(logit, truth)
    found = calibration(truth, given)
    assert (found.slope, found.intercept) == pytest.approx((fitted.coef_[0, 0], fitted.intercept_[0]), abs=1e-4)


def test_true_probabilities_are_calibrated_and_exaggerated_ones_are_not() -> None:
    rows, shares = part(20_000)
    truth = rows.target.to_numpy() == "<30"
    good, bad = calibration(truth, shares[:, 0]), calibration(truth, shares[:, 0] * 2)
    assert 0.9 < good.slope < 1.1 and good.ece < 0.01
    assert bad.ece == pytest.approx(shares[:, 0].mean(), abs=0.01) and bad.intercept < -0.5


@pytest.mark.parametrize(
    ("truth", "probability"),
    [([True, False], [0.9, 0.1]), ([True], [0.5]), ([True, True], [0.2, 0.3]), ([True, False], [1.0, 0.0])],
    ids=["separated", "one row", "one class", "certain"],
)
def test_a_calibration_of_tiny_data_neither_fails_nor_warns(truth: list[bool], probability: list[float]) -> None:
    assert 0 <= calibration(np.array(truth), np.array(probability)).ece <= 1


def test_a_calibration_of_equal_probabilities_has_no_slope() -> None:
    assert isnan(calibration(np.array([True, False, False]), np.full(3, 0.5)).slope)


def test_ties_at_the_limit_of_the_top_count_by_their_mean() -> None:
    target = ["<30"] * 5 + ["NO"] * 15
    found = metrics(target, [[0.2, 0.2, 0.6]] * 20, CLASSES)
    assert (found["top10_ppv"], found["top10_recall"]) == pytest.approx((0.25, 0.1))


def test_an_interval_holds_its_metric() -> None:
    rows, shares = part()
    found = metrics(rows.target.to_list(), shares, CLASSES)
    for name, (low, high) in intervals(rows.target.to_list(), shares, CLASSES, rows.patients, 200).items():
        assert low <= found[name] <= high and low < high, name


def test_intervals_are_the_same_each_time_and_others_with_another_seed() -> None:
    rows, shares = part()
    first, again, other = (
        intervals(rows.target.to_list(), shares, CLASSES, rows.patients, 30, seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_rows_of_one_patient_are_drawn_together() -> None:
    """Each row ten times over, as ten stays of a patient, tells no more than the rows once."""
    rows, shares = part(300)
    target, tenfold = rows.target.to_list(), [name for name in rows.target for _ in range(10)]
    once = intervals(target, shares, CLASSES, np.arange(300))["auc_early"]
    stays = intervals(tenfold, shares.repeat(10, axis=0), CLASSES, np.arange(300).repeat(10))["auc_early"]
    assert stays == pytest.approx(once)


def test_an_interval_is_as_wide_as_the_spread_of_new_samples() -> None:
    areas = []
    for seed in range(60):
        rows, shares = part(600, seed)
        areas.append(metrics(rows.target.to_list(), shares, CLASSES)["auc_early"])
    rows, shares = part(600)
    low, high = intervals(rows.target.to_list(), shares, CLASSES, np.arange(600))["auc_early"]
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(areas), rel=0.35)


def test_fifteen_thousand_rows_take_seconds() -> None:
    rows, shares = part(15_000)
    started = time.process_time()
    intervals(rows.target.to_list(), shares, CLASSES, rows.patients)
    assert time.process_time() - started < 15


def test_subgroups_are_evaluated_alone_and_small_ones_say_so() -> None:
    rows, shares = part()
    found = {
        one["group"]: one
        for one in subgroups(rows.target.to_list(), shares, CLASSES, rows.groups, rows.patients, resamples=20)
    }
    assert set(found) == {"Caucasian", "Asian", "Female", "Male", "under 60", "60 and over"}
    assert found["Asian"]["too_few"] and "metrics" not in found["Asian"]
    inside = rows.groups["gender"].to_numpy() == "Male"
    alone = metrics(rows.target[inside].to_list(), shares[inside], CLASSES)
    male = found["Male"]
    assert male["metrics"] == alone
    assert male["rows"] == inside.sum() and male["base_rate"] == (rows.target[inside] == "<30").mean()
    assert male["calibration_in_the_large"] == pytest.approx(shares[inside, 0].mean() - male["base_rate"])


def test_the_common_threshold_flags_a_tenth_of_all() -> None:
    rows, shares = part()
    found = subgroups(rows.target.to_list(), shares, CLASSES, rows.groups[["gender"]], rows.patients, resamples=5)
    flagged = sum(one["flagged_share"] * one["rows"] for one in found)
    assert flagged == pytest.approx(len(rows.target) / 10, abs=1)


def test_the_document_is_json_and_small() -> None:
    rows, shares = part()
    document = evaluation_document(
        {"train": rows, "validation": rows, "test": rows},
        {"validation": shares, "test": shares},
        CLASSES,
        excluded={"death or hospice": 3},
        resamples=20,
    )
    assert len(json.dumps(document, allow_nan=False)) < 200_000
    assert document["splits"]["train"]["rows"] == 1200
    assert sum(document["splits"]["test"]["classes"].values()) == 1200
    assert document["excluded"] == {"death or hospice": 3}


def test_the_flat_metrics_are_every_metric_of_both_splits_with_its_interval() -> None:
    rows, shares = part()
    parts = {"train": rows, "validation": rows, "test": rows}
    document = evaluation_document(parts, {"validation": shares, "test": shares}, CLASSES, resamples=20)  # type: ignore[arg-type]
    flat = flat_metrics(document)
    names = {f"{split}_{name}" for split in ("validation", "test") for name in BY_HAND.keys() | CALIBRATIONS}
    assert flat.keys() == names | {f"{name}_{end}" for name in names for end in ("low", "high")}
    assert flat["test_auc_early_low"] < flat["test_auc_early"] < flat["test_auc_early_high"]


def test_a_figure_that_is_not_defined_is_null_in_the_document_and_no_metric() -> None:
    rows, shares = part()
    shares = np.full_like(shares, 1 / 3)
    parts = {"train": rows, "validation": rows, "test": rows}
    document = evaluation_document(parts, {"validation": shares, "test": shares}, CLASSES, resamples=5)  # type: ignore[arg-type]
    assert document["test"]["metrics"]["early_calibration_slope"] is None
    assert "test_early_calibration_slope" not in flat_metrics(document)


def test_only_a_feature_that_matters_has_an_effect() -> None:
    rows, _ = part()
    first, second = feature_effects(probabilities, rows, CLASSES, rows=500)
    assert (first["feature"], second["feature"]) == ("signal", "noise")
    assert first["log_loss"] > 0.01 and first["auc_early"] > 0.05
    assert second["log_loss"] == second["auc_early"] == 0


def test_what_a_feature_is_worth_is_what_forecasting_every_row_again_finds() -> None:
    rows, _ = part(300)
    generator = np.random.default_rng(5)
    known = rows.features.assign(
        flag=(generator.random(300) < 0.1).astype(float),
        stays=np.where(generator.random(300) < 0.5, np.nan, generator.integers(0, 3, 300)),
        payer=generator.choice(["MC", "?"], 300),
    )

    def forecast(table: pd.DataFrame) -> np.ndarray:
        signal = table["flag"] + table["stays"].fillna(-2) - 3 * (table["payer"] == "MC")
        return probabilities(pd.DataFrame({"signal": signal}))

    found = {
        one["feature"]: one["log_loss"]
        for one in feature_effects(
            forecast, Part(known, rows.target, rows.patients, rows.groups), CLASSES, repeats=2, seed=3
        )
    }
    shuffles = np.random.default_rng(3)
    some = shuffles.permutation(300)
    features, truth = known.iloc[some].reset_index(drop=True), rows.target.iloc[some]
    expected = {}
    for name in known:
        orders = [shuffles.permutation(300) for _ in range(2)]
        losses = [
            log_loss(truth, forecast(features.assign(**{name: features[name].to_numpy()[order]})), labels=CLASSES)
            for order in orders
        ]
        expected[name] = np.mean(losses) - log_loss(truth, forecast(features), labels=CLASSES)
    assert found == pytest.approx(expected, abs=1e-12)
    assert min(abs(expected[name]) for name in ("flag", "stays", "payer")) > 1e-6


def test_a_row_that_a_shuffle_leaves_as_it_was_is_not_asked_for_again() -> None:
    rows, _ = part(200)
    known = rows.features.assign(payer="MC", weight=np.nan, flag=[1.0, *[0.0] * (len(rows.target) - 1)])
    asked: list[pd.DataFrame] = []

    def forecast(table: pd.DataFrame) -> np.ndarray:
        asked.append(table)
        return probabilities(table)

    effects = feature_effects(forecast, Part(known, rows.target, rows.patients, rows.groups), CLASSES, repeats=3)
    assert {one["feature"] for one in effects} == set(known)
    count = len(rows.target)
    # Once as they are; two columns shuffled, of which hardly a value is at its place; one value away and one come.
    assert count + 2 * 3 * (count - 10) < sum(map(len, asked)) <= count + 2 * 3 * count + 3 * 2


def test_feature_effects_take_columns_of_text() -> None:
    rows, _ = part(200)
    named = Part(rows.features.assign(payer="MC"), rows.target, rows.patients, rows.groups)
    assert {one["feature"] for one in feature_effects(probabilities, named, CLASSES)} == {"noise", "signal", "payer"}
