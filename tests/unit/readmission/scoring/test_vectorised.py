"""The vectorised reader gives the probabilities of the scorer, for every kind of document."""

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.domain.contract import CLASSES, MISSING
from readmission.errors import ScorerInvalid
from readmission.scoring import export, vectorised
from readmission.scoring.scorer import Scorer
from readmission.scoring.vectorised import VectorisedScorer
from readmission.training import families
from sklearn.preprocessing import TargetEncoder

from tests.unit.readmission.documents import MIXED_INPUTS, document, numbers, random_rows, random_tree, stump

NUMBERS = ["number_inpatient", "number_emergency", "prior_encounters", "prior_early_share"]
CATEGORIES = ["medical_specialty", "insulin", "metformin", "diag_1_group"]


def _rows(count: int, seed: int) -> list[list[Any]]:
    """Rows of numbers and categories, some missing, some of categories that other seeds lack."""
    r = random.Random(seed)

    def number() -> float | None:
        return r.choice([None, math.nan, r.randint(0, 9), r.randint(0, 9), r.gauss(3, 4), 1e300, -1e300])

    names = [MISSING, "a", "b", "c", *(f"of {seed} {index}" for index in range(3))]
    return [[*(number() for _ in NUMBERS), *(r.choice(names) for _ in CATEGORIES)] for _ in range(count)]


def _difference(found: dict[str, Any], rows: Sequence[Sequence[Any]]) -> float:
    """The largest difference between the probabilities of both readers."""
    scorer = Scorer(found)
    expected = np.asarray([scorer.probabilities(row) for row in rows])
    return float(np.abs(VectorisedScorer(found).probabilities(np.array(rows, dtype=object)) - expected).max())


@cache
def _document(family: Any) -> dict[str, Any]:
    """The document of the family's pipeline, fitted on rows with missing numbers."""
    r = random.Random(4)
    names = [*NUMBERS, *CATEGORIES]
    table = pd.DataFrame(_rows(700, 1), columns=names)
    table[NUMBERS] = table[NUMBERS].astype(float).clip(-50, 50)
    first = table[NUMBERS[0]].fillna(1)
    target = [CLASSES[min(2, max(0, round(value / 5 + r.gauss(0, 0.7))))] for value in first]
    pipeline = families.PIPELINES[family](names)
    for _, step, _ in pipeline["columns"].transformers:
        if isinstance(step, TargetEncoder):
            step.cv = 5
    if family == "gradient_boosting":
        pipeline.set_params(model__max_iter=30, model__min_samples_leaf=4, model__early_stopping=False)
    if family == "random_forest":
        pipeline.set_params(model__n_estimators=15, model__min_samples_leaf=3)
    return export.document_of(pipeline.fit(table, target), names)


@pytest.mark.parametrize("family", families.PIPELINES)
def test_every_family_gives_the_same_probabilities_with_missing_numbers_and_unseen_categories(family: str) -> None:
    found = _document(family)
    # A number this large is refused by the linear model.
    rows = [row for row in _rows(400, 2) if family != "logistic_regression" or not {1e300, -1e300} & {*row}]
    assert len(rows) > 50
    assert _difference(found, [*rows, [None] * len(rows[0])]) <= 1e-12


@pytest.mark.parametrize("most", [1, 2, 8, 9, 16, 32, 33, 64, 65, 128, 129, 255])
def test_a_boosting_gives_the_same_probabilities_whatever_the_number_of_leaves(most: int) -> None:
    r = random.Random(most)
    trees = [[random_tree(r, r.randint(1, most)) for _ in range(count)] for count in (70, 0, 5)]
    trees[0].append(random_tree(r, most))
    model = {"type": "boosting", "baseline": [0.1, 0.2, 0.3], "trees": trees}
    assert _difference(document(model, inputs=MIXED_INPUTS), random_rows(r, 300)) <= 1e-12


def test_a_forest_gives_the_same_probabilities_whatever_the_shape_of_its_trees() -> None:
    r = random.Random(1)
    model = {"type": "forest", "trees": [random_tree(r, leaves, classes=3) for leaves in (1, 2, 30, 500)]}
    assert _difference(document(model, inputs=MIXED_INPUTS), random_rows(r, 300)) <= 1e-12


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
def test_rows_are_scored_in_batches_and_chunks_without_a_seam(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(vectorised, "_BATCH", 16)
    monkeypatch.setattr(vectorised, "_CHUNK", 5)
    r = random.Random(2)
    for kind, classes in (("boosting", 1), ("forest", 3)):
        trees: Any = [random_tree(r, 20, classes) for _ in range(6)]
        model = {"type": kind, "baseline": [0.0] * 3, "trees": [trees[:2], trees[2:3], trees[3:]]}
        if kind == "forest":
            model = {"type": kind, "trees": trees}
        assert _difference(document(model, inputs=MIXED_INPUTS), random_rows(r, count)) <= 1e-12


def test_no_rows_have_no_probabilities() -> None:
    for family in families.PIPELINES:
        found = VectorisedScorer(_document(family))
        assert found.probabilities(np.empty((0, 8), dtype=object)).shape == (0, 3)


def test_a_table_of_floats_is_scored_like_objects() -> None:
    r = random.Random(3)
    model = {"type": "boosting", "baseline": [0.0] * 3, "trees": [[_stump_of(r)], [_stump_of(r)], []]}
    scorer = VectorisedScorer(document(model))
    rows = np.array([[1.0, 2.0], [math.nan, 0.5], [3.0, math.nan]])
    assert scorer.probabilities(rows).tolist() == scorer.probabilities(rows.astype(object)).tolist()


def _stump_of(r: random.Random) -> dict[str, Any]:
    return stump(r.randint(0, 1), 1.5, 0.5, -0.5)


LINEAR = {
    "type": "linear",
    "mean": [1.0, 2.0],
    "scale": [2.0, 4.0],
    "coefficients": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
    "intercepts": [0.0, 0.0, 0.5],
}


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_linear_model_without_a_value_for_a_missing_number_names_the_row(value: Any) -> None:
    rows = np.array([[1, 2], [0, value]], dtype=object)
    with pytest.raises(ScorerInvalid, match=r"row 1: .*no value for a missing number"):
        VectorisedScorer(document(LINEAR)).probabilities(rows)


def test_text_in_place_of_a_number_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        VectorisedScorer(document(LINEAR)).probabilities(np.array([["1", 2]], dtype=object))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2,)])
def test_rows_of_the_wrong_width_are_a_value_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="for 2 features"):
        VectorisedScorer(document(LINEAR)).probabilities(np.zeros(shape))


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 1},
        {"model": {"type": "other"}},
        {"model": {**LINEAR, "mean": [1.0]}},
        {"model": {"type": "boosting", "baseline": [0.0], "trees": [[], [], []]}},
        {"model": {"type": "forest", "trees": [stump(5, 1.5, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])]}},
        {"inputs": numbers("a")},
        {"classes": ["<30", ">30"]},
    ],
    ids=str,
)
def test_what_the_scorer_refuses_is_refused(change: dict[str, Any]) -> None:
    for reader in (Scorer, VectorisedScorer):
        with pytest.raises(ScorerInvalid):
            reader({**document(LINEAR), **change})
