from itertools import combinations
from math import comb, log
from typing import Any

import pytest
from readmission.domain.features import FEATURES, INPUTS, NUMBERS, OPTIONAL, PATIENT_HISTORY, inputs_of
from readmission.errors import ExplanationUnavailable
from readmission.scoring.scorer import Scorer
from readmission.serving.explanation import Explanation, explain, explain_many
from readmission.serving.schemas import COMPLETE_EXAMPLE, EXAMPLE

from tests.unit.readmission.documents import CONTEXT, REFERENCE, constant, document, stump

NAMES = [name for name in INPUTS if name in NUMBERS]
HISTORY_GIVEN = {"number_inpatient": 3, "prior_encounters": 4, "prior_early_readmissions": 2}


def _at(name: str) -> int:
    return NAMES.index(name)


def _boosting(*trees: dict[str, Any]) -> Scorer:
    """The trees' sum is the log-odds but for a constant: the scores of the other two classes are 0."""
    model = {"type": "boosting", "baseline": [0.0, 0.0, 0.0], "trees": [list(trees), [], []]}
    return Scorer(document(model, features=NAMES, context=CONTEXT))


# An age and a stay that do not meet, and two inpatient fields that do: in `prior_early_share`, and in a tree of both.
ADDITIVE = _boosting(stump(_at("age_numeric"), 70, -0.5, 0.75), stump(_at("time_in_hospital"), 5, 0.0, 0.25))
TOGETHER = _boosting(
    {
        "columns": [_at("number_inpatient"), -1, _at("prior_encounters"), -1, -1],
        "thresholds": [12, 0, 2, 0, 0],
        "missing": "rrlrr",
        "values": [0.0, 0.5, 2.0],
    },
    stump(_at("prior_early_share"), 0.25, -0.125, 1.0, missing="l"),
    stump(_at("age_numeric"), 70, -0.5, 0.75),
)


def _values(explanation: Explanation) -> dict[str, float]:
    return {one.field: one.contribution for one in explanation.contributions}


def _log_odds(scorer: Scorer, fields: dict[str, Any]) -> float:
    inputs = inputs_of(fields)
    risk = scorer.probabilities([inputs[name] for name in scorer.features])[0]
    return log(risk / (1 - risk))


def _shapley(scorer: Scorer, patient: dict[str, Any]) -> dict[str, float]:
    """The exact values by definition, over all sets of the other fields."""

    def score(names: tuple[str, ...]) -> float:
        return _log_odds(scorer, {**REFERENCE, **{name: patient[name] for name in names}})

    found = {}
    for name in patient:
        others = [other for other in patient if other != name]
        found[name] = sum(
            (score((*some, name)) - score(some)) / (len(patient) * comb(len(others), size))
            for size in range(len(patient))
            for some in combinations(others, size)
        )
    return found


def test_in_an_additive_model_each_field_contributes_its_own_term() -> None:
    explanation = explain(ADDITIVE, {**REFERENCE, "age_numeric": 80, "time_in_hospital": 2})
    assert _values(explanation) == pytest.approx(
        {**dict.fromkeys(FEATURES, 0.0), "age_numeric": 1.25, "time_in_hospital": -0.25}, abs=1e-12
    )


def test_interacting_fields_share_their_effect_by_shapleys_definition() -> None:
    patient = {"age_numeric": 80, "number_inpatient": 15, "prior_encounters": 4, "prior_early_readmissions": 2}
    found = _values(explain(TOGETHER, {**REFERENCE, **patient}))
    for name, value in _shapley(TOGETHER, patient).items():
        assert found[name] == pytest.approx(value, abs=0.03)
    assert found["prior_early_readmissions"] == pytest.approx(0.5625, abs=0.03)


def test_the_scores_are_the_log_odds_of_the_reference_and_of_the_patient() -> None:
    patient = {**REFERENCE, "age_numeric": 80, **HISTORY_GIVEN}
    explanation = explain(TOGETHER, patient)
    assert explanation.base_score == pytest.approx(_log_odds(TOGETHER, REFERENCE), abs=1e-12)
    assert explanation.score == pytest.approx(_log_odds(TOGETHER, patient), abs=1e-12)


@pytest.mark.parametrize("fields", [EXAMPLE, COMPLETE_EXAMPLE], ids=["14-fields", "all-fields"])
def test_the_contributions_add_up_to_the_difference_of_the_scores(fields: dict[str, Any]) -> None:
    explanation = explain(TOGETHER, fields)
    assert set(_values(explanation)) == set(fields)
    assert sum(_values(explanation).values()) == pytest.approx(explanation.score - explanation.base_score, abs=1e-9)


def test_the_largest_contribution_comes_first_whatever_its_sign() -> None:
    explanation = explain(ADDITIVE, {**REFERENCE, "age_numeric": 60, "time_in_hospital": 2})
    assert [one.field for one in explanation.contributions[:1]] == ["time_in_hospital"]
    sizes = [abs(one.contribution) for one in explanation.contributions]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("age", "stay", "direction"), [(80, 7, "raises"), (80, 2, "raises"), (60, 2, "none")])
def test_a_field_says_whether_it_raises_the_risk(age: int, stay: int, direction: str) -> None:
    explanation = explain(ADDITIVE, {**REFERENCE, "age_numeric": age, "time_in_hospital": stay})
    found = {one.field: one.direction for one in explanation.contributions}
    assert found["age_numeric"] == direction
    assert found["time_in_hospital"] == ("lowers" if stay == 2 else "none")


def test_unknown_fields_do_not_contribute() -> None:
    unknown: dict[str, Any] = {**dict.fromkeys(PATIENT_HISTORY), **dict.fromkeys(OPTIONAL, "?")}
    assert set(_values(explain(TOGETHER, {**unknown, **EXAMPLE}))) == set(FEATURES)


def test_a_patient_like_the_reference_has_contributions_of_0() -> None:
    explanation = explain(TOGETHER, REFERENCE)
    assert explanation.score == explanation.base_score
    assert {one.direction for one in explanation.contributions} == {"none"}


def test_a_missing_field_has_the_value_of_the_reference() -> None:
    assert _values(explain(ADDITIVE, {"age_numeric": 80})) == {"age_numeric": pytest.approx(1.25)}


def test_the_same_patient_has_the_same_explanation() -> None:
    assert explain(TOGETHER, COMPLETE_EXAMPLE) == explain(TOGETHER, COMPLETE_EXAMPLE)


def test_a_risk_of_0_has_finite_scores() -> None:
    explanation = explain(Scorer(constant(0.0, 0.3, 0.7, context=CONTEXT)), EXAMPLE)
    assert -20 < explanation.score == explanation.base_score < -10


@pytest.mark.parametrize(("fields", "most"), [(EXAMPLE, 300), (COMPLETE_EXAMPLE, 460)], ids=["14-fields", "all-fields"])
def test_an_explanation_needs_a_bounded_number_of_forecasts(fields: dict[str, Any], most: int) -> None:
    class Counting(Scorer):
        asked = 0

        def probabilities(self, row: Any) -> list[float]:
            self.asked += 1
            return super().probabilities(row)

    scorer = Counting(constant(0.1, 0.2, 0.7, context=CONTEXT))
    explain(scorer, fields)
    assert 100 < scorer.asked <= most


def test_a_model_without_a_reference_must_be_trained_again() -> None:
    with pytest.raises(ExplanationUnavailable, match="run the pipeline from 'train'"):
        explain(Scorer(constant(0.1, 0.2, 0.7)), EXAMPLE)


def test_many_patients_have_the_explanations_of_each_with_far_fewer_calls_of_the_model() -> None:
    scorer = _boosting(stump(_at("age_numeric"), 50, 0.1, 0.9), stump(_at("number_inpatient"), 1.5, -0.3, 0.4))
    patients = [{**COMPLETE_EXAMPLE, "age_numeric": 20 + place, "number_inpatient": place % 4} for place in range(120)]
    calls: list[int] = []

    def evaluate(rows: Any) -> list[list[float]]:
        calls.append(len(rows))
        return [scorer.probabilities([row[name] for name in scorer.features]) for row in rows]

    assert explain_many(scorer, evaluate, patients) == [explain(scorer, one) for one in patients]
    assert len(calls) == 3
    assert explain_many(scorer, evaluate, []) == []


def test_many_patients_like_the_reference_need_one_forecast_each() -> None:
    scorer = _boosting(stump(_at("age_numeric"), 50, 0.1, 0.9))
    found = explain_many(
        scorer, lambda rows: [scorer.probabilities([0.0] * len(scorer.features))] * len(rows), [REFERENCE]
    )
    assert [one.contribution for one in found[0].contributions] == [0.0] * len(REFERENCE)
