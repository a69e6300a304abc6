import numpy as np
import pytest
from readmission.evaluation.ranking import Ranking, flagged
from sklearn.metrics import roc_auc_score

TRUTH = np.random.default_rng(1).random(400) < 0.3
SCORE = np.random.default_rng(2).normal(size=400) + TRUTH
WEIGHTS = np.random.default_rng(3).integers(0, 4, size=(5, 400)).astype(float)


@pytest.mark.parametrize("digits", [0, 1, 15], ids=["many ties", "some ties", "no ties"])
def test_the_auc_of_each_weighting_equals_that_of_scikit_learn(digits: int) -> None:
    score = SCORE.round(digits)
    expected = [roc_auc_score(TRUTH, score, sample_weight=weights) for weights in WEIGHTS]
    assert Ranking(TRUTH, score).auc(WEIGHTS) == pytest.approx(expected)


def test_a_row_has_the_weight_of_its_unit() -> None:
    patients = np.random.default_rng(4).integers(0, 90, 400)
    weights = WEIGHTS[:, :90]
    by_patient = Ranking(TRUTH, SCORE, patients).auc(weights)
    assert by_patient == pytest.approx(Ranking(TRUTH, SCORE).auc(weights[:, patients]))


@pytest.mark.parametrize("truth", [True, False])
def test_the_auc_of_a_single_class_is_undefined(truth: bool) -> None:
    assert np.isnan(Ranking(np.full(3, truth), np.array([0.1, 0.2, 0.3])).auc(np.ones((2, 3)))).all()


def test_weightings_that_differ_in_what_is_true_alone_may_share_their_totals() -> None:
    ranking = Ranking(TRUTH, SCORE.round(1))
    true = ranking.totals((WEIGHTS > 1).astype(float))
    total = ranking.totals(np.ones((1, 400)))
    for shared, own in zip(flagged(total, true), flagged(np.broadcast_to(total, true.shape), true), strict=True):
        assert shared.tolist() == own.tolist()
