import pytest
from readmission.client import Decision
from readmission.domain.payloads import RollbackRequest

from tests.unit.ui.fakes import Lambda, decision
from ui.services import promotions
from ui.services.promotions import Difference, RollbackRefused

MEASURED = {"log_loss": {"value": -0.02, "low": -0.03, "high": -0.01}, "subgroups": {}}
REQUEST: RollbackRequest = {"version": "1", "reason": "a complaint", "by": "ada", "force": False}
DECISIONS: list[Decision] = [
    decision("3", "2", "refused"),
    decision("1", "2", "rolled back"),
    decision("2", "1", difference=MEASURED),
    decision("1", None),
]


def test_versions_are_listed_with_their_training_runs_newest_first() -> None:
    assert promotions.training_runs(DECISIONS) == {"3": "run3", "2": "run2", "1": "run1"}


def test_the_newest_promotion_or_rollback_is_in_production() -> None:
    assert promotions.in_production(DECISIONS) == decision("1", "2", "rolled back")
    assert promotions.in_production([decision("1", None, "refused")]) is None


def test_a_difference_has_the_sign_of_the_comparison() -> None:
    assert promotions.differences(DECISIONS, "2", "1") == {"log_loss": Difference(-0.02, -0.03, -0.01)}
    assert promotions.differences(DECISIONS, "1", "2") == {"log_loss": Difference(0.02, 0.01, 0.03)}
    assert promotions.differences(DECISIONS, "3", "1") == {}


def test_only_promoted_and_restored_versions_have_served() -> None:
    assert promotions.served(DECISIONS) == ["2", "1"]


def test_a_rollback_to_a_version_that_never_served_or_to_synthetic_data_needs_force() -> None:
    known = [DECISIONS[0], *({**one, "data_kind": "synthetic"} for one in [decision("4", "2")]), *DECISIONS[1:]]
    assert promotions.needs_force(known, "2", "1") == []
    assert promotions.needs_force(known, "3", "1") == ["never_served"]
    assert promotions.needs_force(known, "4", "1") == ["synthetic_over_real"]
    assert promotions.needs_force(known, "4", "4") == []
    assert promotions.needs_force(known, "9", "1") == ["never_served", "synthetic_over_real"]


def test_figures_are_those_of_the_comparison_of_both_versions_if_there_was_one() -> None:
    compared = decision(
        "2",
        "1",
        challenger={"log_loss": 0.8},
        incumbent={"log_loss": 0.9},
        test={"rows": 10, "patients": 9, "early": 1},
    )
    known = [
        decision("3", "2", challenger={"log_loss": 0.7}),
        compared,
        decision("1", None, challenger={"log_loss": 1}),
    ]
    assert promotions.figures(known, "1", "2") == {"log_loss": 0.9, "rows": 10}
    assert promotions.figures(known, "2", "1") == {"log_loss": 0.8, "rows": 10}
    assert promotions.figures(known, "3", "1") == {"log_loss": 0.7, "rows": None}
    assert promotions.figures(known, "4", "1") == {}


def test_the_first_decision_on_a_version_is_the_oldest() -> None:
    found = promotions.first_decision(DECISIONS, "1")
    assert found is not None and found["decision"] == "promoted"
    assert promotions.first_decision(DECISIONS, "7") is None


def test_a_rollback_invokes_the_function() -> None:
    client = Lambda({"version": "1", "previous_version": "2", "reason": "a complaint"})
    assert promotions.roll_back(client, "readmission-promote", REQUEST)["version"] == "1"
    assert client.asked == [{"function": "readmission-promote", "rollback": REQUEST}]


def test_a_refused_rollback_raises_the_functions_error() -> None:
    client = Lambda({"errorType": "InvalidRequest", "errorMessage": "there is no version 9"}, "Unhandled")
    with pytest.raises(RollbackRefused) as raised:
        promotions.roll_back(client, "readmission-promote", {**REQUEST, "version": "9"})
    assert (raised.value.error, raised.value.message) == ("InvalidRequest", "there is no version 9")
