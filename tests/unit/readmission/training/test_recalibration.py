import json

import numpy as np
import pandas as pd
import pytest
from readmission.domain.splits import Split
from readmission.errors import NoTrainingData
from readmission.evaluation.dataset import Part
from readmission.scoring import export
from readmission.scoring.scorer import Scorer
from readmission.training import families
from readmission.training.recalibration import recalibrated
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tests.unit.readmission.evaluation.samples import sample

NAMES = ["noise", "signal"]
MODELS = {
    "logistic_regression": Pipeline([("scaler", StandardScaler()), ("model", LogisticRegression())]),
    "random_forest": Pipeline([("columns", "passthrough"), families.PIPELINES["random_forest"](NAMES).steps[-1]]),
    "gradient_boosting": Pipeline(
        [("columns", "passthrough"), families.PIPELINES["gradient_boosting"](NAMES).steps[-1]]
    ),
}


def fitted(family: str) -> Pipeline:
    rows, _ = sample(3000, seed=5)
    pipeline = MODELS[family]
    if family == "gradient_boosting":
        pipeline[-1].set_params(early_stopping=False, max_iter=20)
    return pipeline.fit(rows.features, rows.target)


def site(early: float = 0.6) -> dict[Split, Part]:
    """The rows of a site with as many patients as elsewhere, of whom more are readmitted early."""
    rows, _ = sample(3000, seed=6)
    chosen = np.random.default_rng(7).random(3000) < np.where(rows.target == "<30", 1, 1 - early)
    table = np.flatnonzero(chosen)
    cut = np.split(table, [len(table) * 7 // 10, len(table) * 85 // 100])

    def part(index: np.ndarray) -> Part:
        return Part(
            rows.features.iloc[index].reset_index(drop=True),
            rows.target.iloc[index].reset_index(drop=True),
            rows.patients[index],
            rows.groups.iloc[index].reset_index(drop=True),
        )

    return {"train": part(cut[0]), "validation": part(cut[1]), "test": part(cut[2])}


each = pytest.mark.parametrize("family", MODELS)


@each
def test_the_mean_probability_of_each_class_becomes_its_share(family: str) -> None:
    parts = site()
    found = recalibrated(fitted(family), parts, "main")
    rows = pd.concat([parts["train"].features, parts["validation"].features])
    target = pd.concat([parts["train"].target, parts["validation"].target])
    shares = target.value_counts(normalize=True)
    means = found.pipeline.predict_proba(rows).mean(axis=0)
    for name, mean in zip(found.pipeline.classes_, means, strict=True):
        assert mean == pytest.approx(shares[name], abs=1e-5)
        assert found.observed[name] == pytest.approx(shares[name])
    assert found.weights["<30"] > 1.5 and found.predicted["<30"] < found.observed["<30"]


@each
def test_the_original_stays_as_it_was(family: str) -> None:
    pipeline, parts = fitted(family), site()
    before = pipeline.predict_proba(parts["test"].features)
    recalibrated(pipeline, parts, "main")
    assert pipeline.predict_proba(parts["test"].features) == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("family", ["logistic_regression", "gradient_boosting"])
def test_a_softmax_is_corrected_by_the_weights_of_the_classes(family: str) -> None:
    pipeline, parts = fitted(family), site()
    found = recalibrated(pipeline, parts, "main")
    assert found.weights["NO"] == 1
    weighted = pipeline.predict_proba(parts["test"].features) * [found.weights[name] for name in pipeline.classes_]
    expected = weighted / weighted.sum(axis=1, keepdims=True)
    assert found.pipeline.predict_proba(parts["test"].features) == pytest.approx(expected, abs=1e-12)


@each
def test_the_same_rows_give_the_same_scorer(family: str) -> None:
    pipeline, parts = fitted(family), site()
    documents = {
        export.to_json(export.document_of(recalibrated(pipeline, parts, "main").pipeline, NAMES)) for _ in range(3)
    }
    assert len(documents) == 1


@each
def test_the_scorer_document_expresses_it_exactly(family: str) -> None:
    parts = site()
    found = recalibrated(fitted(family), parts, "main").pipeline
    document = export.to_json(export.document_of(found, NAMES))
    rows = parts["test"].features
    assert export.largest_difference(document, found.predict_proba(rows), rows) < 1e-9
    assert json.loads(document)["format_version"] == 2
    assert Scorer(json.loads(document)).classes == ("<30", ">30", "NO")


@each
def test_the_site_s_patients_get_better_forecasts(family: str) -> None:
    pipeline, parts = fitted(family), site()
    found = recalibrated(pipeline, parts, "main").pipeline
    truth = np.searchsorted(["<30", ">30", "NO"], parts["test"].target.to_numpy().astype(str))

    def loss(model: Pipeline) -> float:
        shares = model.predict_proba(parts["test"].features)
        return float(-np.log(shares[np.arange(len(truth)), truth]).mean())

    assert loss(found) < loss(pipeline)


def test_a_site_with_few_rows_of_a_class_is_refused() -> None:
    parts = site()
    few: dict[Split, Part] = {
        split: Part(p.features[:60], p.target[:60], p.patients[:60], p.groups[:60]) for split, p in parts.items()
    }
    with pytest.raises(NoTrainingData, match=r"the site 'main' has too few rows .* of <30"):
        recalibrated(fitted("logistic_regression"), few, "main")


def test_another_kind_of_model_is_refused() -> None:
    rows, _ = sample(500)
    with pytest.raises(TypeError, match="no recalibration of DecisionTreeClassifier"):
        recalibrated(Pipeline([("model", DecisionTreeClassifier())]).fit(rows.features, rows.target), site(), "main")
