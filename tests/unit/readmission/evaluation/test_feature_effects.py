import numpy as np
import pandas as pd
import pytest
from readmission.evaluation.dataset import Part
from readmission.evaluation.feature_effects import feature_effects
from sklearn.metrics import log_loss

from tests.unit.readmission.evaluation.samples import CLASSES, probabilities, sample


def test_only_relevant_features_have_an_effect() -> None:
    rows, _ = sample()
    first, second = feature_effects(probabilities, rows, CLASSES, rows=500)
    assert (first["feature"], second["feature"]) == ("signal", "noise")
    assert first["log_loss"] > 0.01 and first["auc_early"] > 0.05
    assert second["log_loss"] == second["auc_early"] == 0


def test_effects_equal_those_of_forecasting_every_row_again() -> None:
    rows, _ = sample(300)
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


def test_rows_that_a_shuffle_leaves_unchanged_are_not_forecast_again() -> None:
    rows, _ = sample(200)
    known = rows.features.assign(payer="MC", weight=np.nan, flag=[1.0, *[0.0] * (len(rows.target) - 1)])
    asked: list[pd.DataFrame] = []

    def forecast(table: pd.DataFrame) -> np.ndarray:
        asked.append(table)
        return probabilities(table)

    effects = feature_effects(forecast, Part(known, rows.target, rows.patients, rows.groups), CLASSES, repeats=3)
    assert {one["feature"] for one in effects} == set(known)
    count = len(rows.target)
    # The rows once; two columns in which a shuffle moves nearly every value; and one in which it moves a single 1.
    assert count + 2 * 3 * (count - 10) < sum(map(len, asked)) <= count + 2 * 3 * count + 3 * 2


def test_text_columns_have_effects() -> None:
    rows, _ = sample(200)
    named = Part(rows.features.assign(payer="MC"), rows.target, rows.patients, rows.groups)
    assert {one["feature"] for one in feature_effects(probabilities, named, CLASSES)} == {"noise", "signal", "payer"}
