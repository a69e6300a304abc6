"""Encodings from counts, against scikit-learn's encoder of the same rows in memory."""

import numpy as np
import pandas as pd
import pytest
from readmission.domain.features import CATEGORIES
from readmission.training import families
from readmission.training.boosting import codes_of, hashed
from readmission.training.target_encoding import FOLDS, ClassCounts, Encoder
from sklearn.preprocessing import TargetEncoder

from tests.unit.readmission.training.tables import encounters

ROWS = encounters(1200)
FOLD = (hashed(ROWS["patient_nbr"].to_numpy()) % np.uint64(FOLDS)).astype(np.int64)
TARGET = ROWS["readmitted"]


def counts(rows: pd.DataFrame, folds: "np.typing.NDArray[np.int64]") -> ClassCounts:
    return ClassCounts.of(rows, CATEGORIES, codes_of(rows["readmitted"]), folds)


def in_memory(folds: "np.typing.NDArray[np.int64]") -> TargetEncoder:
    cross = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(FOLDS)]
    return TargetEncoder(target_type="multiclass", cv=cross)


def of_workers(workers: int) -> ClassCounts:
    """The sum of the counts of so many workers, each with its share of the rows."""
    parts = np.array_split(np.arange(len(ROWS)), workers)
    return ClassCounts.sum(counts(ROWS.iloc[part], FOLD[part]) for part in parts)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_rows_that_are_learned_from_are_encoded_as_scikit_learn_does_it(workers: int) -> None:
    encoded = Encoder(of_workers(workers)).cross_fitted(ROWS, FOLD)
    expected = in_memory(FOLD).fit_transform(ROWS[list(CATEGORIES)], TARGET)
    np.testing.assert_allclose(encoded, expected, rtol=0, atol=1e-12)


def test_other_rows_are_encoded_as_scikit_learn_does_it_and_unknown_values_too() -> None:
    others = encounters(300, seed=2).assign(payer_code="never seen")
    encoder = in_memory(FOLD).fit(ROWS[list(CATEGORIES)], TARGET)
    columns = Encoder(of_workers(3)).fitted(["age_numeric"])
    encoded = columns.transform(others[["age_numeric", *CATEGORIES]])
    np.testing.assert_array_equal(encoded[:, 0], others["age_numeric"])
    np.testing.assert_allclose(encoded[:, 1:], encoder.transform(others[list(CATEGORIES)]), rtol=0, atol=1e-12)


def test_masked_copies_count_like_rows_whose_categories_are_unknown() -> None:
    copies = pd.concat([ROWS, ROWS.assign(**families.masked(ROWS[list(CATEGORIES)]))], ignore_index=True)
    encoded = Encoder(of_workers(2).with_masked_copies()).cross_fitted(copies, np.tile(FOLD, 2))
    target = pd.concat([TARGET, TARGET], ignore_index=True)
    expected = in_memory(np.tile(FOLD, 2)).fit_transform(copies[list(CATEGORIES)], target)
    np.testing.assert_allclose(encoded, expected, rtol=0, atol=1e-12)


def test_a_value_that_only_one_fold_has_gets_the_shares_of_all_other_rows_there() -> None:
    rows = ROWS.assign(payer_code=np.where(FOLD == 3, "only here", "elsewhere"))
    encoder = Encoder(counts(rows, FOLD))
    index = 3 * list(CATEGORIES).index("payer_code")
    encoded = encoder.cross_fitted(rows, FOLD)[FOLD == 3][:, index : index + 3]
    shares = [(TARGET[FOLD != 3] == name).mean() for name in ("<30", ">30", "NO")]
    np.testing.assert_allclose(encoded, np.tile(shares, (len(encoded), 1)), rtol=0, atol=1e-12)
