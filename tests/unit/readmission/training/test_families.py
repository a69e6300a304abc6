import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from readmission.domain.features import CATEGORIES, FEATURES, INPUTS, NUMBERS
from readmission.domain.payloads import FAMILIES, Family
from readmission.evaluation.dataset import Part, part_of
from readmission.scoring import export
from readmission.training import families
from threadpoolctl import threadpool_limits

from tests.unit.readmission.training.tables import encounters

TRAINING, VALIDATION = part_of(encounters(700)), part_of(encounters(200, seed=2))
FEATURES_OF_ROWS, TARGET = TRAINING.features, TRAINING.target


def fit(family: Family, training: Part = TRAINING, validation: Part = VALIDATION) -> bytes:
    """The document of the family's model of the rows."""
    with threadpool_limits(1):
        pipeline = families.fit(family, training, validation)
    return export.to_json(export.document_of(pipeline, list(training.features.columns)))


def only_14(part: Part) -> Part:
    return replace(part, features=part.features[list(FEATURES)])


def test_masked_rows_know_the_14_features_and_nothing_else() -> None:
    masked = families.masked(FEATURES_OF_ROWS)
    assert list(masked) == list(INPUTS)
    pd.testing.assert_frame_equal(masked[list(FEATURES)], FEATURES_OF_ROWS[list(FEATURES)])
    assert masked[[name for name in NUMBERS if name not in FEATURES]].isna().all(axis=None)
    assert (masked[list(CATEGORIES)] == "?").all(axis=None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_forecasts_whole_and_masked_rows_from_probabilities_of_three_classes(family: Family) -> None:
    with threadpool_limits(1):
        pipeline = families.fit(family, TRAINING, VALIDATION)
        for rows in (FEATURES_OF_ROWS, families.masked(FEATURES_OF_ROWS)):
            shares = pipeline.predict_proba(rows)
            assert shares.shape == (len(rows), 3)
            np.testing.assert_allclose(shares.sum(axis=1), 1)
            # Unweighted: what is forecast on average is what is there.
            for place, name in enumerate(pipeline.classes_):
                assert abs(shares[:, place].mean() - (name == TARGET).mean()) < 0.06


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_rows_give_the_same_document(family: Family) -> None:
    assert fit(family) == fit(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_that_is_known_of_no_row_is_no_input(family: Family) -> None:
    document = json.loads(fit(family))
    assert [entry["name"] for entry in document["inputs"]] == [
        name for name in INPUTS if name in CATEGORIES or FEATURES_OF_ROWS[name].notna().any()
    ]
    assert "last_time_in_hospital" not in {entry["name"] for entry in document["inputs"]}


def test_the_14_features_alone_are_learned_from_once() -> None:
    once = only_14(TRAINING)
    plain = families.FAMILIES["logistic_regression"](list(FEATURES)).fit(once.features, once.target)
    expected = export.to_json(export.document_of(plain, list(FEATURES)))
    assert fit("logistic_regression", once, only_14(VALIDATION)) == expected


def test_boosting_stops_where_the_validation_rows_gain_no_more() -> None:
    turned = replace(VALIDATION, target=VALIDATION.target.map({"NO": "<30", "<30": "NO", ">30": ">30"}))
    gains, gains_nothing = (
        len(json.loads(fit("gradient_boosting", validation=part))["model"]["trees"][0]) for part in (VALIDATION, turned)
    )
    assert gains > gains_nothing >= 20


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest"])
def test_the_other_families_do_not_look_at_the_validation_rows(family: Family) -> None:
    assert fit(family, validation=VALIDATION) == fit(family, validation=TRAINING)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scorer_says_what_the_pipeline_says_of_whole_masked_and_unseen_rows(family: Family) -> None:
    with threadpool_limits(1):
        pipeline = families.fit(family, TRAINING, VALIDATION)
        document = export.to_json(export.document_of(pipeline, list(INPUTS)))
        unseen = encounters(80, seed=9)[list(INPUTS)].assign(medical_specialty="Astrology", diag_1_category="E999")
        rows = pd.concat([FEATURES_OF_ROWS[:80], families.masked(FEATURES_OF_ROWS[:80]), unseen], ignore_index=True)
        assert export.largest_difference(document, pipeline, rows) <= 1e-12
