"""What the logged forecasts of two versions say, and when that speaks against the newer one."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from readmission.promotion import trial
from readmission.promotion.trial import Evidence, Pairs, evidence, objection, summary

type Floats = Any


def _production(count: int) -> Floats:
    """Probabilities as a model of this data gives them, each a little different."""
    early = 0.05 + 0.3 * np.linspace(0, 1, count) ** 2
    late = 0.25 + 0.15 * np.linspace(1, 0, count)
    return np.column_stack([early, late, 1 - early - late])


def _pairs(count: int, change: Callable[[Floats], Floats] = lambda p: p, **more: Any) -> Pairs:
    production = _production(count)
    nobody = np.full(count, None, dtype=object)
    patients = np.arange(count).astype(np.str_)
    return Pairs(change(production), production, **{"labels": nobody, "patients": patients, **more})


def _code(pairs: Pairs) -> str | None:
    found = objection(evidence(pairs))
    return found.code if found else None


def _swapped(first: int, second: int) -> Callable[[Floats], Floats]:
    order = [0, 1, 2]
    order[first], order[second] = second, first
    return lambda p: p[:, order]


def _moved(early: float) -> Callable[[Floats], Floats]:
    return lambda p: p + np.array([early, 0, -early])


def _constant(p: Floats) -> Floats:
    return np.tile(p.mean(axis=0), (len(p), 1))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda p: p, None),
        (_moved(0.04), None),
        (_moved(0.06), "shifted"),
        (_moved(-0.06), "shifted"),
        (_swapped(0, 1), "shifted"),
        (_swapped(0, 2), "shifted"),
        (_swapped(1, 2), "shifted"),
        (_constant, "constant"),
        (lambda p: p[::-1], "shifted"),
    ],
    ids=["same", "a-bit-more", "more", "less", "early-late", "early-none", "late-none", "constant", "other-ranks"],
)
@pytest.mark.parametrize("count", [trial.CHECK_FROM, 5000])
def test_a_challenger_is_judged_from_a_hundred_forecasts_on(
    change: Callable[[Floats], Floats], code: str | None, count: int
) -> None:
    assert _code(_pairs(count, change)) == code
    assert _code(_pairs(trial.CHECK_FROM - 1, change)) is None


def test_the_same_patient_again_and_again_says_nothing_about_the_ranks() -> None:
    same = np.tile([0.1, 0.3, 0.6], (200, 1))
    found = evidence(Pairs(same, same, np.full(200, None, dtype=object), np.full(200, "one")))
    assert (found.correlation, found.constant, objection(found)) == (None, False, None)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ({}, None),
        ({"NotProbabilities": 1}, "broken"),
        ({"ScorerInvalid": 1}, "broken"),
        ({"Slow": 1}, None),
        ({"Slow": 2}, None),
        ({"Slow": 3}, "slow"),
        ({"Slow": 1, "Stopped": 3}, "slow"),
    ],
    ids=str,
)
def test_errors_count_from_the_first_on(errors: dict[str, int], code: str | None) -> None:
    assert _code(_pairs(50, errors=errors)) == code


def test_a_few_slow_ones_among_many_are_the_machines() -> None:
    assert _code(_pairs(1000, errors={"Slow": 2, "Stopped": 40})) is None
    assert _code(_pairs(5, errors={"Slow": 1, "Stopped": 3})) is None


def _labels(production: Floats, change: float) -> Any:
    """Labels as the probabilities, moved by `change`, would have it."""
    r = np.random.default_rng(1)
    early = r.random(len(production)) < production[:, 0] + change
    return np.where(early, "<30", "NO").astype(object)


def test_outcomes_speak_against_a_challenger_that_is_worse_for_certain() -> None:
    labels = _labels(_production(2000), 0.0)
    assert _code(_pairs(2000, _moved(0.045), labels=labels)) == "worse"
    few = labels.copy()
    few[trial.ENOUGH_LABELS - 1 :] = None
    assert _code(_pairs(2000, _moved(0.045), labels=few)) is None
    assert _code(_pairs(2000, _moved(0.001), labels=labels)) is None


def test_the_losses_are_those_of_the_labelled_and_of_the_own_forecasts() -> None:
    production = np.tile([0.5, 0.25, 0.25], (200, 1))
    challenger = np.tile([0.25, 0.5, 0.25], (200, 1))
    found = evidence(Pairs(challenger, production, np.full(200, "<30", dtype=object), np.arange(200).astype(np.str_)))
    assert found.realised == pytest.approx({"challenger": np.log(4), "production": np.log(2)})
    assert found.difference and found.difference.value == pytest.approx(np.log(2))
    entropy = 0.5 * np.log(2) + 0.5 * np.log(4)
    assert found.estimated == pytest.approx({"challenger": entropy, "production": entropy})
    assert found.agreement == 0.0


def test_without_forecasts_there_are_no_figures() -> None:
    found = evidence(_pairs(0))
    assert found == Evidence(0, 0, {}, 0)
    assert summary(found) == "0 forecasts"


def test_the_evidence_is_json_without_nan() -> None:
    labels = _labels(_production(300), 0.0)
    for pairs in (_pairs(0), _pairs(1), _pairs(300, labels=labels, seconds=np.full(300, 0.0001), canaried=30)):
        json.dumps(evidence(pairs).as_json(), allow_nan=False)


def test_the_summary_names_the_figures() -> None:
    found = summary(evidence(_pairs(300, _moved(0.01), canaried=30)))
    assert found.startswith("300 forecasts, 30 answered by it, the same class in 100%, rank correlation 1.00")
    assert "mean early risk +0.0100" in found


def _weighted(p: Floats) -> Floats:
    weighted = p * _WEIGHTS
    return weighted / weighted.sum(axis=1, keepdims=True)


_WEIGHTS = np.array([3.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("change", "weights", "code"),
    [
        (_weighted, _WEIGHTS, None),
        (_weighted, None, "shifted"),
        (lambda p: p, _WEIGHTS, "shifted"),
        (lambda p: _weighted(p)[:, [2, 1, 0]], _WEIGHTS, "shifted"),
        (lambda p: _constant(_weighted(p)), _WEIGHTS, "constant"),
    ],
    ids=["as it is to", "no recalibration", "not at all", "swapped", "constant"],
)
def test_a_recalibration_may_shift_the_forecasts_by_its_weights_alone(
    change: Callable[[Floats], Floats], weights: Floats | None, code: str | None
) -> None:
    assert _code(_pairs(200, change, weights=weights)) == code
