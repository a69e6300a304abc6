"""Gradient boosting by LightGBM in one process."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier
from readmission.domain.features import FEATURES, INPUTS
from readmission.evaluation.dataset import Part, part_of
from readmission.scoring import export
from readmission.training import boosting, families
from sklearn.pipeline import Pipeline

from tests.unit.readmission.training.tables import encounters

TABLE = encounters(1500)
PARTS = {split: part_of(TABLE[TABLE["split"] == split]) for split in ("train", "validation", "test")}
# As the 14 features alone and as all inputs, some of which no row has.
TEST = pd.concat([PARTS["test"].features, families.masked(PARTS["test"].features)], ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> Iterator[Pipeline]:
    yield boosting.fit(PARTS["train"], PARTS["validation"])


def test_the_scorer_equals_the_pipeline(fitted: Pipeline) -> None:
    document = export.to_json(export.document_of(fitted, list(INPUTS)))
    assert export.largest_difference(document, fitted.predict_proba(TEST), TEST) <= 1e-9


def test_a_number_that_training_always_knew_counts_as_0_when_it_is_missing(fitted: Pipeline) -> None:
    """As LightGBM does it: all rows have the 14 features."""
    document = export.to_json(export.document_of(fitted, list(INPUTS)))
    without = TEST.assign(**dict.fromkeys(FEATURES, np.nan))
    assert export.largest_difference(document, fitted.predict_proba(without), without) <= 1e-9
    zero = TEST.assign(**dict.fromkeys(FEATURES, 0.0))
    np.testing.assert_array_equal(fitted.predict_proba(without), fitted.predict_proba(zero))


def test_training_stops_when_the_validation_rows_stop_improving(fitted: Pipeline) -> None:
    model = fitted["model"]
    assert 0 < model.best_iteration_ < 400
    losses = model.evals_result_["valid_0"]["multi_logloss"]
    assert losses[model.best_iteration_ - 1] == min(losses)


def test_the_same_rows_give_the_same_model(fitted: Pipeline) -> None:
    again = boosting.fit(PARTS["train"], PARTS["validation"])
    assert export.document_of(again, list(INPUTS)) == export.document_of(fitted, list(INPUTS))


def test_the_model_survives_skops_with_only_the_types_it_names(fitted: Pipeline) -> None:
    loaded = skops.io.loads(skops.io.dumps(fitted), trusted=list(boosting.TRUSTED))
    np.testing.assert_array_equal(loaded.predict_proba(TEST), fitted.predict_proba(TEST))


def test_it_forecasts_better_than_the_shares_of_the_classes(fitted: Pipeline) -> None:
    truth = PARTS["test"].target.to_numpy().astype(str)
    columns = [list(fitted.classes_).index(name) for name in truth]
    loss = -np.log(fitted.predict_proba(PARTS["test"].features)[np.arange(len(truth)), columns]).mean()
    shares = PARTS["train"].target.value_counts(normalize=True)
    assert loss < -np.log(shares.loc[truth].to_numpy()).mean()


def test_it_can_be_fitted_on_the_14_features_alone() -> None:
    few = [Part(part.features[list(FEATURES)], part.target, part.patients, part.groups) for part in PARTS.values()]
    fitted = boosting.fit(few[0], few[1])
    document = export.to_json(export.document_of(fitted, list(FEATURES)))
    rows = few[2].features
    assert export.largest_difference(document, fitted.predict_proba(rows), rows) <= 1e-9


def test_hashes_of_patients_are_even_whatever_the_numbers_are() -> None:
    shares = [
        np.bincount((boosting.hashed(np.arange(20_000) * step) % np.uint64(5)).astype(int)) for step in (1, 5, 64)
    ]
    assert all((counts > 3800).all() and (counts < 4200).all() for counts in shares)


# ---------------------------------------------------------------- what a scorer document cannot express
ROWS = np.random.default_rng(1).normal(size=(600, 3))
TARGET = np.array(["<30", ">30", "NO"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]


def _exported(model: LGBMClassifier) -> None:
    export.document_of(Pipeline([("model", model)]), ["a", "b", "c"])


def test_a_model_that_takes_zero_as_missing_is_refused() -> None:
    model = LGBMClassifier(n_estimators=3, zero_as_missing=True, verbosity=-1).fit(ROWS, TARGET)
    with pytest.raises(TypeError, match="treats Zero as missing"):
        _exported(model)


def test_a_model_with_native_categories_is_refused() -> None:
    rows = np.column_stack([ROWS[:, 1], np.digitize(ROWS[:, 0], [-0.5, 0.5]), ROWS[:, 2]])
    model = LGBMClassifier(n_estimators=3, verbosity=-1, min_data_per_group=1, cat_smooth=0)
    model.fit(rows, TARGET, categorical_feature=[1])
    with pytest.raises(TypeError, match="native categorical features"):
        _exported(model)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"objective": "multiclassova"}, "multiclassova"),
        ({"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}, "averages its trees"),
        ({"num_leaves": 300, "min_child_samples": 1, "min_child_weight": 0}, "more than 255 leaves"),
    ],
)
def test_a_model_of_another_kind_is_refused(settings: dict[str, Any], what: str) -> None:
    target = np.random.default_rng(2).permutation(TARGET)
    model = LGBMClassifier(n_estimators=3, verbosity=-1, **settings).fit(ROWS, target)
    with pytest.raises(TypeError, match=what):
        _exported(model)


def test_a_model_of_two_classes_is_refused() -> None:
    model = LGBMClassifier(n_estimators=3, verbosity=-1).fit(ROWS, TARGET == "NO")
    with pytest.raises(TypeError, match="2 classes"):
        _exported(model)
