import json

import numpy as np
import pandas as pd
import pytest
from readmission.features import CATEGORIES, FEATURES, INPUTS, NUMBERS
from readmission.payloads import FAMILIES, Family
from readmission.training import export, families
from threadpoolctl import threadpool_limits

from tests.unit.readmission.training.tables import encounters

TABLE = encounters(700)
FEATURES_OF_ROWS, TARGET = TABLE[list(INPUTS)], TABLE["readmitted"]


def fit(family: Family, features: pd.DataFrame = FEATURES_OF_ROWS, target: "pd.Series[str]" = TARGET) -> bytes:
    """The document of the family's model of the rows."""
    with threadpool_limits(1):
        pipeline = families.fit(family, features, target)
    return export.to_json(export.document_of(pipeline, list(features.columns)))


def test_masked_rows_know_the_14_features_and_nothing_else() -> None:
    masked = families.masked(FEATURES_OF_ROWS)
    assert list(masked) == list(INPUTS)
    pd.testing.assert_frame_equal(masked[list(FEATURES)], FEATURES_OF_ROWS[list(FEATURES)])
    assert masked[[name for name in NUMBERS if name not in FEATURES]].isna().all(axis=None)
    assert (masked[list(CATEGORIES)] == "?").all(axis=None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_forecasts_whole_and_masked_rows_from_probabilities_of_three_classes(family: Family) -> None:
    with threadpool_limits(1):
        pipeline = families.fit(family, FEATURES_OF_ROWS, TARGET)
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


@pytest.mark.parametrize("family", FAMILIES)
def test_the_14_features_alone_are_learned_from_once(family: Family) -> None:
    few = FEATURES_OF_ROWS[list(FEATURES)]
    with threadpool_limits(1):
        plain = families.FAMILIES[family](list(FEATURES)).fit(few, TARGET)
    assert fit(family, few) == export.to_json(export.document_of(plain, list(FEATURES)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scorer_says_what_the_pipeline_says_of_whole_masked_and_unseen_rows(family: Family) -> None:
    with threadpool_limits(1):
        pipeline = families.fit(family, FEATURES_OF_ROWS, TARGET)
        document = export.to_json(export.document_of(pipeline, list(INPUTS)))
        unseen = encounters(80, seed=9)[list(INPUTS)].assign(medical_specialty="Astrology", diag_1_category="E999")
        rows = pd.concat([FEATURES_OF_ROWS[:80], families.masked(FEATURES_OF_ROWS[:80]), unseen], ignore_index=True)
        assert export.largest_difference(document, pipeline, rows) <= 1e-12
