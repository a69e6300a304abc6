"""The monitor of the deployed application: the last step of a run, a command, and a request."""

import json

import pytest
from mlflow import MlflowClient
from readmission.client import ApiProblem

from tests.e2e.conftest import Application, Trained


def test_a_run_ends_with_the_monitor_and_the_api_answers_what_it_found(
    application: Application, trained: Trained
) -> None:
    output = trained.output
    assert "monitor_failure" not in output
    assert output["monitor"]["windows"] >= 1 and output["monitor"]["version"] == output["promotion"]["version"]
    with application.client as client:
        document = client.monitor()
    assert document["format"] == "readmission-monitor"
    window = document["windows"][0]
    assert window["kind"] == "delivery" and window["only_test_rows"] and window["labels"] > 0
    assert window["realised"]["auc_early"]["value"] == pytest.approx(
        window["estimated"]["auc_early"]["value"], abs=0.15
    )
    # The rows that the version has learned from have not drifted.
    assert {alert["code"] for alert in window["alerts"]} <= {"delivery_quality"}


def test_an_operator_runs_it_by_a_command(application: Application, trained: Trained) -> None:
    said = application.platform.run("monitor")
    assert "WINDOW" in said and "ESTIMATED" in said
    with application.client as client:
        document = client.monitor()
    assert document["started_by"]
    version = MlflowClient().get_model_version("readmission", document["version"])
    path = MlflowClient().download_artifacts(version.run_id, "monitor.json")
    with open(path, "rb") as file:
        assert json.load(file) == document


def test_it_is_not_for_everybody(application: Application, trained: Trained) -> None:
    assert application.call("/monitor", key=None).status == 403
    assert application.call("/monitor", method="HEAD").text == ""
    with application.client as client, pytest.raises(ApiProblem):
        client._ask("GET", "/monitor/more")
