"""Challengers against real servers: from shadow to canary to Production, and what ends that."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import pytest
from readmission.domain.features import inputs_of
from readmission.errors import (
    AlreadyInProduction,
    ChallengeNeedsForce,
    ChallengesOff,
    NoChallenger,
    VersionNotFound,
    VersionUnusable,
)
from readmission.promotion import challenger, trial
from readmission.promotion.guard import guard, state
from readmission.promotion.replay import replay
from readmission.registry import names
from readmission.settings import ChallengeSettings

from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS

CHALLENGES = ChallengeSettings(shadow_requests=150, canary_share=0.2, label_due_days=30)

# Each row is answered a little later than the one before it.
PREDICTIONS = """
    INSERT INTO prediction (log_id, request_id, position, answered_at, route, model_name, model_version, data_kind,
        site, encounter_id, patient_key, inputs, p_early, p_late, p_none, other_version, other_p_early, other_p_late,
        other_p_none, other_error, other_seconds)
    SELECT id, id, 0, clock_timestamp(), '/predict', :name, :version, 'synthetic', 'default', encounter_id, id, inputs,
        production[1], production[2], production[3], :other, challenger[1], challenger[2], challenger[3], :error, 0.0001
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS row (id text, encounter_id bigint, inputs jsonb, production float8[], challenger float8[])
"""
OUTCOMES = """
    INSERT INTO outcome (site, encounter_id, readmitted, discharge_date, reported_at, request_id, position)
    SELECT 'default', encounter_id, readmitted, '2020-01-01', now(), id, 0
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id text, encounter_id bigint, readmitted text)
"""

type Probabilities = Sequence[float]


def _early(index: int) -> list[float]:
    """The probabilities that Production gives: each encounter's are a little different."""
    early = 0.05 + (index % 97) / 700
    return [early, 0.35, 0.65 - early]


class Traffic:
    """What *record* writes of the forecasts of a model's Production version and its challenger."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._count = 0
        # Encounters of its own, for which no other test has reported outcomes.
        self._first = 1000 * crc32(models.settings.name.encode())

    def log(
        self,
        count: int,
        forecast: Callable[[Probabilities], Probabilities] = lambda production: production,
        error: str | None = None,
        label: Callable[[int], str] | None = None,
    ) -> None:
        """Log `count` requests of new patients. The challenger said `forecast` of what Production said, or failed."""
        rows = [
            {
                "id": f"{self.models.settings.name}-{index}",
                "encounter_id": self._first + index,
                "inputs": inputs_of(_fields(index)),
                "production": _early(index),
                "challenger": None if error else forecast(_early(index)),
                "readmitted": label(index) if label else None,
            }
            for index in range(self._count, self._count + count)
        ]
        self._count += count
        tried = self.models.ledger[0]
        self.models.stores.clean.run(
            PREDICTIONS,
            rows=json.dumps(rows),
            name=self.models.settings.name,
            version=tried["previous_version"],
            other=tried["version"],
            error=error,
        )
        if label:
            self.models.stores.clean.run(OUTCOMES, rows=json.dumps(rows))


def _fields(index: int) -> dict[str, Any]:
    r = random.Random(index)
    return {
        "age_numeric": 10 * r.randint(1, 9) + 5,
        "time_in_hospital": r.randint(1, 14),
        "num_lab_procedures": r.randint(1, 80),
        "num_procedures": r.randint(0, 6),
        "num_medications": r.randint(1, 40),
        "number_outpatient": 0,
        "number_emergency": r.randint(0, 2),
        "number_inpatient": r.randint(0, 4),
        "number_diagnoses": r.randint(1, 9),
        "max_glu_serum_encoded": 0,
        "a1cresult_encoded": 0,
        "change_encoded": 0,
        "diabetesmed_encoded": 1,
        "num_diabetes_meds": 1,
    }


@pytest.fixture
def traffic(models: Models) -> Traffic:
    """Version 1 in Production, and version 2, which passed the comparison, shadowing."""
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    result = models.promote(models.candidate("logistic_regression", run="two"), challenges=CHALLENGES)
    assert (result["decision"], result["version"], result["production_version"]) == ("shadowed", "2", "1")
    return Traffic(models)


def _guard(models: Models) -> str | None:
    decided = guard(models.stores.clean, models.settings, CHALLENGES)
    return decided["decision"] if decided else None


def _decisions(models: Models) -> list[tuple[str, str, str]]:
    """Version, decision and code, newest first."""
    return [(line["version"], line["decision"], line["reason_code"]) for line in models.ledger]


def test_a_version_that_passes_the_comparison_shadows_first(traffic: Traffic) -> None:
    models = traffic.models
    assert _decisions(models)[0] == ("2", "shadowed", "newer")
    assert models.registry.production().number == "1"
    found = models.registry.challenger()
    assert found and (found.number, found.canary_share) == ("2", 0.0)
    assert found.challenged_at is not None


def test_a_challenger_that_does_well_becomes_a_canary_and_then_serves(traffic: Traffic) -> None:
    models = traffic.models
    traffic.log(149)
    assert _guard(models) is None
    traffic.log(1)
    assert _guard(models) == "canaried"
    canary = models.registry.challenger()
    assert canary and (canary.number, canary.canary_share) == ("2", 0.2)
    # What was logged before does not count for the next step.
    assert _guard(models) is None
    traffic.log(150)
    assert _guard(models) == "promoted"
    assert models.registry.production().number == "2"
    assert models.registry.challenger() is None
    assert _decisions(models)[:2] == [("2", "promoted", "canary_passed"), ("2", "canaried", "shadow_passed")]
    line = models.ledger[0]
    assert (line["decided_by"], line["previous_version"]) == ("guard", "1")
    assert line["metrics"]["live"]["forecasts"] == 150
    assert line["metrics"]["live"]["agreement"] == 1.0
    assert _guard(models) is None


def test_a_rollback_returns_to_the_version_before_the_challenger(traffic: Traffic) -> None:
    models = traffic.models
    for _ in range(2):
        traffic.log(150)
        _guard(models)
    assert models.rollback()["version"] == "1"


def test_without_a_share_a_challenger_serves_after_it_has_shadowed(traffic: Traffic) -> None:
    models = traffic.models
    traffic.log(150)
    without = ChallengeSettings(150, 0.0, 30)
    decided = guard(models.stores.clean, models.settings, without)
    assert decided and decided["decision"] == "promoted"
    assert _decisions(models)[0] == ("2", "promoted", "shadow_passed")


def _constant(_production: Probabilities) -> Probabilities:
    return [0.12, 0.35, 0.53]


def _swapped(production: Probabilities) -> Probabilities:
    early, late, none = production
    return [none, late, early]


def _swapped_late(production: Probabilities) -> Probabilities:
    early, late, none = production
    return [early, none, late]


@pytest.mark.parametrize(
    ("forecast", "code"),
    [(_constant, "constant"), (_swapped, "shifted"), (_swapped_late, "shifted")],
    ids=["constant", "swapped", "swapped-late"],
)
def test_a_broken_challenger_is_withdrawn_after_a_hundred_requests(
    traffic: Traffic, forecast: Callable[[Probabilities], Probabilities], code: str
) -> None:
    models = traffic.models
    traffic.log(trial.CHECK_FROM - 1, forecast)
    assert _guard(models) is None
    traffic.log(1, forecast)
    assert _guard(models) == "withdrawn"
    assert models.registry.challenger() is None
    assert models.registry.production().number == "1"
    assert _decisions(models)[0] == ("2", "withdrawn", code)
    assert models.ledger[0]["decided_by"] == "guard"


@pytest.mark.parametrize("error", ["NotProbabilities", "ScorerInvalid", "ZeroDivisionError"])
def test_a_challenger_that_fails_is_withdrawn_at_its_first_error(traffic: Traffic, error: str) -> None:
    traffic.log(1, error=error)
    assert _guard(traffic.models) == "withdrawn"
    line = traffic.models.ledger[0]
    assert (line["reason_code"], error in line["reason"]) == ("broken", True)


def test_a_slow_challenger_is_withdrawn_once_it_is_not_the_machine(traffic: Traffic) -> None:
    models = traffic.models
    traffic.log(18)
    traffic.log(1, error="Slow")
    assert _guard(models) is None
    traffic.log(1, error="Stopped")
    assert _guard(models) == "withdrawn"
    assert _decisions(models)[0] == ("2", "withdrawn", "slow")


def test_a_challenger_that_the_outcomes_speak_against_is_withdrawn(traffic: Traffic) -> None:
    """Nobody was readmitted whom it gives a slightly higher risk."""
    models = traffic.models
    ((exists,),) = models.stores.clean.run("SELECT to_regclass('forecast_outcome') IS NOT NULL")
    if not exists:
        pytest.fail("the view forecast_outcome is missing")
    traffic.log(300, lambda p: [p[0] + 0.02, p[1], p[2] - 0.02], label=lambda index: "NO")
    assert _guard(models) == "withdrawn"
    line = models.ledger[0]
    assert line["reason_code"] == "worse"
    assert line["metrics"]["live"]["labels"] == 300
    assert line["metrics"]["live"]["difference"]["low"] > 0


def test_a_withdrawn_version_is_not_tried_again_by_itself(traffic: Traffic) -> None:
    models = traffic.models
    traffic.log(1, error="NotProbabilities")
    _guard(models)
    run = models.ledger[0]["mlflow_run_id"]
    again = models.promote({"model": "logistic_regression", "mlflow_run_id": run}, challenges=CHALLENGES)
    assert again["decision"] == "refused"
    assert _decisions(models)[0] == ("2", "refused", "withdrawn_before")
    with pytest.raises(ChallengeNeedsForce, match="was withdrawn before"):
        _try(models, "2")
    assert _try(models, "2", force=True)["decision"] == "shadowed"
    assert models.ledger[0]["forced"]


def _try(models: Models, version: str, *, force: bool = False, challenges: Any = CHALLENGES) -> Any:
    request = {"version": version, "reason": "a trial", "by": "Ada", "force": force}
    return challenger.challenge(request, models.stores.clean, models.settings, challenges)


def _abort(models: Models) -> Any:
    return challenger.abort({"reason": "a complaint", "by": "Ada"}, models.stores.clean, models.settings)


def test_a_person_can_withdraw_the_challenger(traffic: Traffic) -> None:
    models = traffic.models
    assert _abort(models)["version"] == "2"
    assert _decisions(models)[0] == ("2", "withdrawn", "by_hand")
    assert (models.ledger[0]["decided_by"], models.registry.challenger()) == ("Ada", None)
    traffic.log(300)
    assert _guard(models) is None
    with pytest.raises(NoChallenger):
        _abort(models)


def test_a_rollback_withdraws_the_challenger(traffic: Traffic) -> None:
    """It was compared with a version that a person has taken out of Production."""
    models = traffic.models
    for _ in range(2):
        traffic.log(150)
        _guard(models)
    models.promote(models.candidate("logistic_regression", run="three"), challenges=CHALLENGES)
    models.rollback("1")
    assert _decisions(models)[:2] == [("1", "rolled back", "by_hand"), ("3", "withdrawn", "overtaken")]
    traffic.log(300)
    assert _guard(models) is None
    assert (models.registry.production().number, models.registry.challenger()) == ("1", None)


def test_a_newer_version_takes_the_place_of_the_challenger(traffic: Traffic) -> None:
    models = traffic.models
    models.promote(models.candidate("logistic_regression", run="three"), challenges=CHALLENGES)
    assert _decisions(models)[:2] == [("3", "shadowed", "newer"), ("2", "withdrawn", "superseded")]
    found = models.registry.challenger()
    assert found and found.number == "3"
    # Nothing speaks against it.
    assert _try(models, "2")["decision"] == "shadowed"


def test_without_shadowing_the_next_promotion_ends_the_trial(traffic: Traffic) -> None:
    models = traffic.models
    assert models.promote(models.candidate("logistic_regression", run="three"))["decision"] == "promoted"
    assert _decisions(models)[:2] == [("3", "promoted", "newer"), ("2", "withdrawn", "overtaken")]
    assert models.registry.challenger() is None


def test_who_takes_the_alias_away_in_the_registry_is_not_overruled(traffic: Traffic) -> None:
    models = traffic.models
    models.client.delete_registered_model_alias(models.settings.name, names.CHALLENGER)
    traffic.log(300)
    assert _guard(models) == "withdrawn"
    assert _decisions(models)[0] == ("2", "withdrawn", "by_hand")


def test_who_moves_production_in_the_registry_is_not_overruled(traffic: Traffic) -> None:
    models = traffic.models
    models.client.delete_registered_model_alias(models.settings.name, names.PRODUCTION)
    traffic.log(300)
    assert _guard(models) == "withdrawn"
    assert _decisions(models)[0] == ("2", "withdrawn", "overtaken")


def test_a_step_that_broke_off_is_completed_by_the_next(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    with monkeypatch.context() as patch:
        patch.setattr("readmission.promotion.alias.try_out", _fail)
        with pytest.raises(ConnectionError):
            models.promote(models.candidate("logistic_regression", run="two"), challenges=CHALLENGES)
    assert models.registry.challenger() is None
    assert _guard(models) is None
    found = models.registry.challenger()
    assert found and found.number == "2"


def _fail(*_: object) -> None:
    raise ConnectionError("the registry went away")


def test_the_first_version_serves_at_once(models: Models) -> None:
    models.load()
    result = models.promote(models.candidate("logistic_regression"), challenges=CHALLENGES)
    assert (result["decision"], models.registry.challenger()) == ("promoted", None)


def test_an_execution_shadows_once(traffic: Traffic) -> None:
    models = traffic.models
    candidate = models.candidate("logistic_regression", run="three")
    first = models.promote(candidate, execution="run", challenges=CHALLENGES)
    assert models.promote(candidate, execution="run", challenges=CHALLENGES) == first
    assert first["decision"] == "shadowed"


@pytest.mark.parametrize(
    ("version", "error"), [("1", AlreadyInProduction), ("9", VersionNotFound)], ids=["in-production", "missing"]
)
def test_what_cannot_be_tried_is_refused(traffic: Traffic, version: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        _try(traffic.models, version)


def test_a_version_without_a_scorer_cannot_be_tried(traffic: Traffic) -> None:
    models = traffic.models
    models.client.set_model_version_tag(models.settings.name, "2", names.SCORER_SHA256, "other")
    with pytest.raises(VersionUnusable):
        _try(models, "2")


def test_nothing_is_tried_without_shadow_requests(traffic: Traffic) -> None:
    with pytest.raises(ChallengesOff, match="ShadowRequests"):
        _try(traffic.models, "2", challenges=None)


def test_the_state_says_how_the_challenger_does(traffic: Traffic) -> None:
    models = traffic.models
    traffic.log(20)
    found = state(models.stores.clean, models.settings, CHALLENGES)
    assert found is not None
    assert (found["version"], found["production_version"], found["decision"]) == ("2", "1", "shadowed")
    assert (found["evidence"]["forecasts"], found["needed"], found["objection"]) == (20, 150, None)
    _abort(models)
    assert state(models.stores.clean, models.settings, CHALLENGES) is None


def test_a_version_is_replayed_on_the_logged_traffic(traffic: Traffic) -> None:
    """It says what the version would have answered, as its scorer does for each row."""
    models = traffic.models
    traffic.log(120)
    found = replay({"version": "2"}, models.stores.clean, models.settings)
    assert (found["version"], found["forecasts"], found["answered_by"]) == ("2", 120, {"1": 120})
    scorer = challenger.versions.scorer_of(
        models.client, models.client.get_model_version(models.settings.name, "2"), models.settings
    )
    rows = [inputs_of(_fields(index)) for index in range(120)]
    early = [scorer.probabilities([row[name] for name in scorer.features])[scorer.classes.index("<30")] for row in rows]
    expected = sum(early) / 120 - sum(_early(index)[0] for index in range(120)) / 120
    assert found["evidence"]["shifts"]["<30"]["value"] == pytest.approx(expected, abs=1e-9)
    assert found["inputs_not_logged"] == []
    assert replay({"version": "2", "limit": 7}, models.stores.clean, models.settings)["forecasts"] == 7


def test_a_replay_without_traffic_says_so(traffic: Traffic) -> None:
    found = replay({"version": "2"}, traffic.models.stores.clean, traffic.models.settings)
    assert (found["forecasts"], found["objection"]) == (0, None)
