"""A challenger is asked beside Production, answers its share of patients at most, and never makes an answer fail."""

import json
import math
from collections import Counter
from typing import Any

import pytest
from readmission.domain.features import FEATURES, inputs_of
from readmission.errors import ScorerInvalid
from readmission.serving.challenger import Answer, Trial, bucket
from readmission.serving.encounters import Asked, encounter_of
from readmission.serving.model_cache import ModelCache
from readmission.serving.prediction_log import Answered, Other
from readmission.telemetry.metrics import CHALLENGERS_STOPPED, NullMeter

from tests.unit.readmission.documents import constant, document, stump
from tests.unit.readmission.serving.fakes import LOGGER, REFRESH_SECONDS, Api, Clock, FakeRegistry

ENCOUNTER = {name: rule.low for name, rule in FEATURES.items()}
PRODUCTION, CHALLENGER = (0.1, 0.3, 0.6), (0.2, 0.3, 0.5)


class Counts(NullMeter):
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        self.counted[f"{name} {dimensions.get('reason', '')}".strip()] += int(value)


class Log:
    def __init__(self) -> None:
        self.answered: list[Answered] = []

    async def record(self, request_id: str, route: str, answered: list[Answered]) -> None:
        self.answered += answered


class Serving:
    """Version 1 in Production, and the challenger, version 2, on one process."""

    def __init__(self, challenger: Any = None, share: float = 0.0, seconds: float = 0.05) -> None:
        self.registry, self.clock, self.meter = FakeRegistry(), Clock(), Counts()
        self.registry.promote("1", constant(*PRODUCTION))
        if challenger is not None:
            self.registry.challenge("2", challenger, share)
        self.cache = ModelCache(
            self.registry, REFRESH_SECONDS, LOGGER, self.clock, meter=self.meter, challenger_seconds=seconds
        )
        self.cache.refresh()
        self.now = 0.0
        self.trial = Trial(self.cache, LOGGER, self.meter, self._tick)

    def _tick(self) -> float:
        return self.now

    def answer(self, **fields: Any) -> Answer:
        return self.trial.answer(self.cache.current(), encounter_of({**ENCOUNTER, **fields}))


def test_a_batch_gets_the_answers_that_each_encounter_gets_alone() -> None:
    asked = [encounter_of({**ENCOUNTER, "patient_nbr": number}) for number in range(1, 40)]
    for serving in (Serving(), Serving(constant(*CHALLENGER), share=0.5)):
        served = serving.cache.current()
        found = serving.trial.answers(served, asked)
        assert found == [serving.trial.answer(served, one) for one in asked]
    assert {one.answered_by for one in found if isinstance(one, Answer)} == {"production", "canary"}


def test_an_encounter_of_a_batch_that_the_served_model_cannot_score_does_not_affect_the_others() -> None:
    linear = {"type": "linear", "mean": [0.0], "scale": [1.0], "coefficients": [[1.0]] * 3, "intercepts": [0.0] * 3}
    asked = [encounter_of({**ENCOUNTER, **fields}) for fields in ({}, {"prior_encounters": 1})]
    for challenger in (None, constant(*CHALLENGER)):
        serving = Serving(challenger)
        serving.registry.promote("3", document(linear, features=["prior_encounters"]))
        serving.cache.refresh()
        unknown, known = serving.trial.answers(serving.cache.current(), asked)
        assert isinstance(unknown, ScorerInvalid) and isinstance(known, Answer)


def _other(serving: Serving) -> Other:
    found = serving.answer().other
    assert found
    return found


def _broken(what: Any) -> tuple[Serving, Any]:
    """A challenger whose scorer answers with `what`, or raises it."""
    serving = Serving(constant(*CHALLENGER), share=0.5)

    class Scorer:
        features = serving.cache.challenger.scorer.features  # type: ignore[union-attr]
        classes = serving.cache.challenger.scorer.classes  # type: ignore[union-attr]
        risk_quantiles = None
        calls = 0

        def probabilities(self, row: Any) -> list[float]:
            self.calls += 1
            if callable(what):
                what(serving)
                return list(CHALLENGER)
            if isinstance(what, Exception):
                raise what
            return list(what)

    serving.cache.challenger.scorer = scorer = Scorer()  # type: ignore[union-attr,assignment]
    return serving, scorer


def test_without_a_challenger_there_is_nothing_to_log_of_one() -> None:
    found = Serving().answer()
    assert (found.served.version.number, found.answered_by, found.other) == ("1", "production", None)


def test_a_registry_is_not_asked_for_a_challenger_unless_there_may_be_one() -> None:
    registry = FakeRegistry()
    registry.promote("1", constant(*PRODUCTION))
    registry.challenge("2", constant(*CHALLENGER))
    cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, Clock())
    cache.refresh()
    assert (registry.challenger_polls, cache.challenger) == (0, None)


def test_a_poll_asks_for_the_challenger_once() -> None:
    serving = Serving(constant(*CHALLENGER))
    assert (serving.registry.polls, serving.registry.challenger_polls) == (1, 1)


def test_a_shadow_is_asked_and_answers_nobody() -> None:
    serving = Serving(constant(*CHALLENGER))
    for number in range(1, 200):
        found = serving.answer(patient_nbr=number)
        assert (found.served.version.number, found.answered_by) == ("1", "production")
        assert [*found.forecast["probabilities"].values()] == pytest.approx(PRODUCTION)
        assert found.other and found.other.version == "2" and found.other.error is None
        assert found.other.probabilities and [*found.other.probabilities.values()] == pytest.approx(CHALLENGER)


def test_a_canary_answers_its_share_and_each_patient_always_by_the_same_model() -> None:
    serving = Serving(constant(*CHALLENGER), share=0.2)
    first = [serving.answer(patient_nbr=number).answered_by for number in range(1, 3001)]
    again = [serving.answer(patient_nbr=number, time_in_hospital=3).answered_by for number in range(1, 3001)]
    assert first == again
    assert 0.17 < first.count("canary") / 3000 < 0.23


def test_a_canarys_answer_is_logged_with_what_production_said() -> None:
    serving = Serving(constant(*CHALLENGER), share=0.5)
    found = next(
        one
        for one in (serving.answer(patient_nbr=number) for number in range(1, 99))
        if one.other and one.answered_by == "canary"
    )
    assert found.served.version.number == "2"
    assert [*found.forecast["probabilities"].values()] == pytest.approx(CHALLENGER)
    assert found.other and (found.other.version, found.other.error) == ("1", None)
    assert found.other.probabilities and [*found.other.probabilities.values()] == pytest.approx(PRODUCTION)


def test_a_patient_counts_before_the_encounter_and_that_before_the_inputs() -> None:
    def of(**fields: Any) -> float:
        asked = encounter_of({**ENCOUNTER, **fields})
        return bucket("2", asked, inputs_of(asked.fields))

    assert of(patient_nbr=1, encounter_id=1) == of(patient_nbr=1, encounter_id=2, time_in_hospital=9)
    assert of(encounter_id=1) == of(encounter_id=1, time_in_hospital=9) != of(encounter_id=2)
    assert of() == of() != of(time_in_hospital=9)
    assert of(patient_nbr=1, site="a") != of(patient_nbr=1, site="b")
    assert of(patient_nbr=1) != of(encounter_id=1)


def test_another_version_gets_other_patients() -> None:
    asked = Asked({}, patient_nbr=7)
    assert bucket("2", asked, {}) != bucket("3", asked, {})


@pytest.mark.parametrize(
    ("what", "error", "counted"),
    [
        ((math.nan, 0.3, 0.7), "NotProbabilities", "NotProbabilities"),
        ((0.5, 0.5, 0.5), "NotProbabilities", "NotProbabilities"),
        ((-0.1, 0.5, 0.6), "NotProbabilities", "NotProbabilities"),
        (ZeroDivisionError("a value"), "ZeroDivisionError", "Error"),
        (lambda serving: setattr(serving, "now", serving.now + 0.06), "Slow", "Slow"),
    ],
    ids=["nan", "sum", "negative", "raises", "slow"],
)
def test_a_broken_challenger_stops_at_once_and_costs_no_answer(what: Any, error: str, counted: str) -> None:
    serving, scorer = _broken(what)
    answers = [serving.answer(patient_nbr=number) for number in range(1, 50)]
    assert {one.answered_by for one in answers} == {"production"}
    assert scorer.calls == 1
    assert [one.other.error for one in answers if one.other] == [error, *["Stopped"] * 48]
    assert serving.meter.counted[f"{CHALLENGERS_STOPPED} {counted}"] == 1


def test_a_stopped_challenger_stays_stopped_and_the_next_one_is_asked() -> None:
    serving, _ = _broken((math.nan, 0.3, 0.7))
    serving.answer()
    serving.registry.challenge("2", constant(*CHALLENGER), 0.4)
    serving.cache.refresh()
    assert _other(serving).error == "Stopped"
    serving.registry.challenge("3", constant(0.3, 0.3, 0.4))
    serving.cache.refresh()
    assert (_other(serving).version, _other(serving).error) == ("3", None)


@pytest.mark.parametrize(
    "unusable",
    [
        document({"type": "other"}),
        document({"type": "forest", "trees": [stump(0, 1, [1, 0, 0], [0, 1, 0])]}, features=["unknown"]),
        {**constant(*CHALLENGER), "classes": ["a", "b", "c"]},
    ],
    ids=["format", "features", "classes"],
)
def test_a_challenger_that_cannot_be_loaded_is_logged_as_such(unusable: Any) -> None:
    serving = Serving(unusable, share=0.5)
    found = serving.answer()
    assert (found.answered_by, found.other and found.other.error) == ("production", "ScorerInvalid")
    assert serving.meter.counted[f"{CHALLENGERS_STOPPED} ScorerInvalid"] == 1
    assert serving.cache.served and serving.cache.served.version.number == "1"


def test_a_challenger_that_is_withdrawn_is_asked_no_more() -> None:
    serving = Serving(constant(*CHALLENGER))
    serving.registry.end_challenge()
    serving.cache.refresh()
    assert serving.answer().other is None


def test_a_promoted_challenger_is_not_downloaded_again_and_not_asked_twice() -> None:
    serving = Serving(constant(*CHALLENGER))
    downloads = serving.registry.downloads
    serving.registry.promote("2", constant(*CHALLENGER))
    serving.cache.refresh()
    found = serving.answer()
    assert (found.served.version.number, found.other) == ("2", None)
    assert serving.registry.downloads == downloads


def _api(share: float) -> tuple[Api, Log]:
    log = Log()
    api = Api(prediction_log=log, challenger_seconds=0.05)
    api.registry.promote("1", constant(*PRODUCTION))
    api.registry.challenge("2", constant(*CHALLENGER), share)
    api.model_cache.refresh()
    return api, log


def test_the_answer_names_the_version_that_made_it_and_both_are_logged() -> None:
    api, log = _api(0.5)
    answers = [api.predict({**ENCOUNTER, "patient_nbr": number}).json() for number in range(1, 40)]
    assert {one["model_version"] for one in answers} == {"1", "2"}
    for answer, logged in zip(answers, log.answered, strict=True):
        canary = answer["model_version"] == "2"
        assert answer["early_risk"]["probability"] == pytest.approx((CHALLENGER if canary else PRODUCTION)[0])
        assert (logged.answered_by, logged.served.version.number) == (
            ("canary", "2") if canary else ("production", "1")
        )
        assert logged.other and logged.other.version == ("1" if canary else "2")


def test_a_row_of_a_batch_names_its_version_if_a_canary_made_it() -> None:
    api, log = _api(0.5)
    encounters = [{**ENCOUNTER, "patient_nbr": number} for number in range(1, 40)]
    answer = api.post("/predict/batch", json.dumps({"encounters": encounters})).json()
    assert answer["model_version"] == "1"
    made = [row["prediction"].get("model_version") for row in answer["predictions"]]
    assert set(made) == {None, "2"}
    assert [one.answered_by == "canary" for one in log.answered] == [version == "2" for version in made]
    assert [one.position for one in log.answered] == [*range(39)]


def test_the_description_of_the_model_tells_the_challenger() -> None:
    api, _ = _api(0.5)
    assert api.get("/model").json()["challenger"] == {
        "version": "2",
        "family": "forest",
        "since": "2026-01-02T12:00:00+00:00",
        "canary_share": 0.5,
        "mlflow_run_id": "run-2",
    }
