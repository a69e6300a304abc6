from math import inf, isnan, nan

import numpy as np
import pytest
from readmission.evaluation import bootstrap


@pytest.mark.parametrize("resamples", [1, 25, 26, 60])
def test_each_resample_draws_as_many_patients_as_there_are(resamples: int) -> None:
    counts = np.concatenate(list(bootstrap.patient_counts(7, resamples)))
    assert counts.shape == (resamples, 7)
    assert set(counts.sum(axis=1)) == {7}


def test_resamples_depend_only_on_the_seed() -> None:
    first, again, other = (np.concatenate(list(bootstrap.patient_counts(50, 30, seed))) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_a_shorter_bootstrap_is_the_start_of_a_longer_one() -> None:
    short, long = (np.concatenate(list(bootstrap.patient_counts(20, resamples))) for resamples in (30, 60))
    assert (short == long[:30]).all()


def test_an_interval_spans_the_middle_95_per_cent() -> None:
    assert bootstrap.interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_an_interval_ignores_undefined_resamples() -> None:
    assert bootstrap.interval(np.array([nan, 1.0, inf, 1.0])) == (1, 1)
    assert all(map(isnan, bootstrap.interval(np.array([nan, nan]))))
