import pytest
from readmission.client import Decision

from tests.unit.ui.fakes import Lambda, decision
from ui.services import promotions
from ui.services.promotions import Difference, RollbackRefused

MEASURED = {"log_loss": {"value": -0.02, "low": -0.03, "high": -0.01}, "subgroups": {}}
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


def test_a_rollback_invokes_the_function() -> None:
    client = Lambda({"version": "1", "previous_version": "2", "reason": "asked for"})
    assert promotions.roll_back(client, "readmission-promote", "1", "")["version"] == "1"
    assert client.asked == [{"function": "readmission-promote", "rollback": {"version": "1", "reason": None}}]


def test_a_refused_rollback_raises_the_functions_error() -> None:
    client = Lambda({"errorType": "InvalidRequest", "errorMessage": "there is no version 9"}, "Unhandled")
    with pytest.raises(RollbackRefused) as raised:
        promotions.roll_back(client, "readmission-promote", "9", "why")
    assert (raised.value.error, raised.value.message) == ("InvalidRequest", "there is no version 9")
