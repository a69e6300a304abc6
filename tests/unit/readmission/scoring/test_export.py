"""The scorer agrees with the fitted pipeline, for every family."""

import json
import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.domain.contract import CLASSES
from readmission.domain.features import FEATURES
from readmission.domain.payloads import FAMILIES
from readmission.registry.mlflow_client import digest
from readmission.scoring import export
from readmission.scoring.scorer import Scorer, load
from readmission.training import families
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline, make_pipeline

NAMES = list(FEATURES)


def _table(rows: int, seed: int) -> pd.DataFrame:
    r = random.Random(seed)
    records = [[float(r.randint(rule.low, min(rule.high, 40))) for rule in FEATURES.values()] for _ in range(rows)]
    return pd.DataFrame(records, columns=NAMES)


def _target(features: pd.DataFrame) -> list[str]:
    """A class for each row, which depends on some of its features and on chance."""
    r = random.Random(2)
    scores = features["number_inpatient"] / 20 + features["age_numeric"] / 40 - features["change_encoded"]
    return [CLASSES[min(2, max(0, round(score + r.gauss(0, 0.7))))] for score in scores]


@dataclass(frozen=True)
class Fitted:
    pipeline: Pipeline
    document: dict[str, Any]
    scorer: Scorer

    def difference(self, rows: pd.DataFrame) -> float:
        """The largest difference between the probabilities of scorer and pipeline."""
        ours = [self.scorer.probabilities(row) for row in rows.to_numpy().tolist()]
        return float(np.abs(np.asarray(ours) - self.pipeline.predict_proba(rows)).max())

    def thresholds(self) -> list[tuple[int, float]]:
        """(column, threshold) of every inner node of the model's trees."""
        trees = self.document["model"].get("trees", [])
        flat = [tree for group in trees for tree in (group if isinstance(group, list) else [group])]
        nodes = [node for tree in flat for node in zip(tree["columns"], tree["thresholds"], strict=True)]
        return [(column, threshold) for column, threshold in nodes if column >= 0]


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    features = _table(900, seed=1)
    pipeline = families.PIPELINES[request.param](NAMES).fit(features, _target(features))
    document = export.document_of(pipeline, NAMES)
    content = export.to_json(document)
    return Fitted(pipeline, document, load(content, digest(content)))


def test_every_family_of_the_payloads_has_a_pipeline() -> None:
    assert tuple(families.PIPELINES) == FAMILIES


def test_the_scorer_equals_the_pipeline_on_unseen_rows(fitted: Fitted) -> None:
    assert fitted.difference(_table(500, seed=5)) <= 1e-9


def test_the_scorer_equals_the_pipeline_on_values_between_the_counts(fitted: Fitted) -> None:
    r = random.Random(3)
    rows = _table(300, seed=6).map(lambda value: value + r.random())
    assert fitted.difference(rows) <= 1e-9


@pytest.mark.parametrize("towards", [-math.inf, None, math.inf], ids=["just-below", "on", "just-above"])
def test_the_scorer_equals_the_pipeline_around_every_threshold(fitted: Fitted, towards: float | None) -> None:
    thresholds = fitted.thresholds()[::7]
    rows = _table(max(1, len(thresholds)), seed=7)
    for index, (feature, threshold) in enumerate(thresholds):
        rows.iat[index, feature] = threshold if towards is None else math.nextafter(threshold, towards)
    assert fitted.difference(rows) <= 1e-9


def test_a_forest_rounds_to_32_bits_before_comparing(fitted: Fitted) -> None:
    """A value 5e-8 above a threshold of x.5 is equal to it in 32 bits, and above it in 64."""
    rows = _table(200, seed=8).map(lambda value: value + 0.5 + 5e-8)
    assert fitted.difference(rows) <= 1e-9


@pytest.mark.parametrize("value", [0.0, -1.0, 1e6, -1e6, 1e30, 5e-324], ids=str)
def test_the_scorer_equals_the_pipeline_on_values_far_from_the_data(fitted: Fitted, value: float) -> None:
    rows = _table(20, seed=9)
    for index in range(len(NAMES)):
        rows.iat[index, index] = value
    assert fitted.difference(rows) <= 1e-9


def test_integers_count_like_floats(fitted: Fitted) -> None:
    row = [5] * len(NAMES)
    assert fitted.scorer.probabilities(row) == fitted.scorer.probabilities([float(value) for value in row])


def test_probabilities_are_between_0_and_1_and_sum_to_1(fitted: Fitted) -> None:
    for row in _table(200, seed=10).to_numpy().tolist():
        shares = fitted.scorer.probabilities(row)
        assert all(0 <= share <= 1 for share in shares)
        assert math.fsum(shares) == pytest.approx(1, abs=1e-12)


def test_the_model_does_not_give_every_row_the_same_probability(fitted: Fitted) -> None:
    shares = [fitted.scorer.probabilities(row)[0] for row in _table(200, seed=10).to_numpy().tolist()]
    assert max(shares) - min(shares) > 0.2


def test_the_scorer_has_the_pipelines_features_and_classes(fitted: Fitted) -> None:
    assert list(fitted.scorer.features) == NAMES
    assert list(fitted.scorer.classes) == sorted(CLASSES)


def test_the_document_survives_json(fitted: Fitted) -> None:
    assert json.loads(export.to_json(fitted.document)) == fitted.document


def test_the_same_document_always_has_the_same_bytes(fitted: Fitted) -> None:
    assert export.to_json(export.document_of(fitted.pipeline, NAMES)) == export.to_json(fitted.document)


def test_the_context_describes_the_rows(fitted: Fitted) -> None:
    rows = _table(301, seed=12)
    scorer = Scorer(export.document_of(fitted.pipeline, NAMES, export.context_of(fitted.pipeline, rows)))
    assert scorer.reference == {name: float(np.median(rows[name])) for name in NAMES}
    assert scorer.risk_quantiles is not None
    early = sorted(fitted.pipeline.predict_proba(rows)[:, scorer.classes.index("<30")].tolist())
    # The percentiles of 301 rows are every third row.
    assert scorer.risk_quantiles == pytest.approx(early[::3], abs=1e-9)


def test_the_same_rows_have_the_same_context(fitted: Fitted) -> None:
    rows = _table(301, seed=12)
    assert export.context_of(fitted.pipeline, rows) == export.context_of(fitted.pipeline, rows)


def test_the_context_does_not_change_the_probabilities(fitted: Fitted) -> None:
    rows = _table(20, seed=12)
    scorer = Scorer(export.document_of(fitted.pipeline, NAMES, export.context_of(fitted.pipeline, rows)))
    for row in rows.to_numpy().tolist():
        assert scorer.probabilities(row) == fitted.scorer.probabilities(row)


def _largest_difference(fitted: Fitted, document: dict[str, Any]) -> float:
    rows = _table(100, seed=11)
    return export.largest_difference(export.to_json(document), fitted.pipeline.predict_proba(rows), rows)


def test_the_forecaster_gives_the_bits_of_the_pipeline(fitted: Fitted) -> None:
    rows = _table(500, seed=5)
    found = export.forecaster(fitted.pipeline, fitted.document)(rows)
    # The threads of a forest add in any order.
    tolerance = 1e-12 if fitted.document["model"]["type"] == "forest" else 0
    assert np.abs(found - fitted.pipeline.predict_proba(rows)).max() <= tolerance


def test_a_boostings_forecaster_does_not_ask_the_pipeline() -> None:
    features = _table(300, seed=12)
    pipeline = families.PIPELINES["gradient_boosting"](NAMES).fit(features, _target(features))
    forecast = export.forecaster(pipeline, export.document_of(pipeline, NAMES))
    expected = pipeline.predict_proba(features)
    pipeline.steps.clear()
    assert (forecast(features) == expected).all()


def test_the_scorer_itself_is_compared_too(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("probabilities", "probabilities_of"):
        with monkeypatch.context() as patch:
            good = getattr(Scorer, name)
            patch.setattr(Scorer, name, lambda self, rows, good=good: _swapped(good(self, rows)))
            assert _largest_difference(fitted, fitted.document) > 1e-3


def _swapped(found: list[Any]) -> list[Any]:
    """Of a row the classes backwards, of many rows the rows."""
    return found[::-1]


def test_a_correct_export_has_no_difference(fitted: Fitted) -> None:
    assert _largest_difference(fitted, fitted.document) <= 1e-9


def test_a_wrong_export_has_a_difference(fitted: Fitted) -> None:
    document = json.loads(export.to_json(fitted.document))
    model = document["model"]
    if model["type"] == "linear":
        model["intercepts"][0] += 1
    elif model["type"] == "boosting":
        model["baseline"][0] += 1
    else:
        model["trees"] = model["trees"][:1]
    assert _largest_difference(fitted, document) > 1e-3


def test_a_constant_column_is_exported_exactly() -> None:
    features = _table(300, seed=12).assign(num_procedures=3.0)
    for family in FAMILIES:
        pipeline = families.PIPELINES[family](NAMES).fit(features, _target(features))
        document = export.to_json(export.document_of(pipeline, NAMES))
        rows = _table(100, seed=13)
        assert export.largest_difference(document, pipeline.predict_proba(rows), rows) <= 1e-9


def test_an_unknown_kind_of_model_is_refused() -> None:
    pipeline = make_pipeline(DummyClassifier()).fit([[0.0], [1.0]], ["NO", "<30"])
    with pytest.raises(TypeError, match="DummyClassifier"):
        export.document_of(pipeline, ["x"])


def test_a_document_with_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        export.to_json({"baseline": [math.nan]})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logged_parameters_are_those_of_the_model(family: Any) -> None:
    pipeline = families.PIPELINES[family](NAMES)
    assert families.parameters(pipeline) == pipeline[-1].get_params()
