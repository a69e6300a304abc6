import json

import pytest
from readmission.client import Decision

from tests.unit.ui.fakes import S3, Lambda, decision
from ui.services import promotions
from ui.services.promotions import Difference, RollbackRefused

MEASURED = {"log_loss": {"value": -0.02, "low": -0.03, "high": -0.01}, "subgroups": {}}
DECISIONS: list[Decision] = [
    decision("3", "2", "refused"),
    decision("1", "2", "rolled back"),
    decision("2", "1", difference=MEASURED),
    decision("1", None),
]


def test_every_version_has_its_training_the_newest_first() -> None:
    assert promotions.trainings(DECISIONS) == {"3": "run3", "2": "run2", "1": "run1"}


def test_what_serves_is_what_was_promoted_or_rolled_back_to_last() -> None:
    assert promotions.serving(DECISIONS) == "1"
    assert promotions.serving([decision("1", None, "refused")]) is None


def test_a_difference_has_the_sign_of_the_question() -> None:
    assert promotions.differences(DECISIONS, "2", "1") == {"log_loss": Difference(-0.02, -0.03, -0.01)}
    assert promotions.differences(DECISIONS, "1", "2") == {"log_loss": Difference(0.02, 0.01, 0.03)}
    assert promotions.differences(DECISIONS, "3", "1") == {}


@pytest.mark.parametrize("parent", ["", "artifacts/", "artifacts/1/"])
def test_the_plots_and_figures_of_a_training_are_found_wherever_mlflow_keeps_its_runs(parent: str) -> None:
    folder = f"{parent}run2/artifacts/"
    test = {"metrics": {"auc_early": 0.7, "log_loss": 0.9, "accuracy": 0.5}, "intervals": {"auc_early": [0.6, 0.8]}}
    client = S3(
        {
            f"{parent}run1/artifacts/plots/roc.png": b"another",
            f"{folder}plots/roc.png": b"roc",
            f"{folder}plots/unknown.png": b"?",
            f"{folder}evaluation.json": json.dumps({"test": test}).encode(),
        }
    )
    assert promotions.run_folder(client, "artifacts", "run2") == folder
    assert promotions.plots(client, "artifacts", folder) == {"roc": b"roc"}
    assert promotions.evaluation(client, "artifacts", folder) == {
        "auc_early": {"value": 0.7, "low": 0.6, "high": 0.8},
        "log_loss": {"value": 0.9, "low": None, "high": None},
    }


def test_a_training_that_left_nothing_has_no_folder() -> None:
    assert promotions.run_folder(S3({"artifacts/1/run1/artifacts/x": b""}), "artifacts", "run2") is None


def test_a_rollback_is_asked_of_the_function() -> None:
    client = Lambda({"version": "1", "previous_version": "2", "reason": "asked for"})
    assert promotions.roll_back(client, "readmission-promote", "1", "")["version"] == "1"
    assert client.asked == [{"function": "readmission-promote", "rollback": {"version": "1", "reason": None}}]


def test_a_rollback_that_is_refused_tells_the_error() -> None:
    client = Lambda({"errorType": "InvalidRequest", "errorMessage": "there is no version 9"}, "Unhandled")
    with pytest.raises(RollbackRefused) as raised:
        promotions.roll_back(client, "readmission-promote", "9", "why")
    assert (raised.value.error, raised.value.message) == ("InvalidRequest", "there is no version 9")
