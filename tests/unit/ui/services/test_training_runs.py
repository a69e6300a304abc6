import json
from collections.abc import Iterator

import pytest

from tests.unit.readmission.reporting.documents import document
from tests.unit.ui.fakes import Mlflow, serving
from ui.services import training_runs
from ui.services.training_runs import RunsUnavailable

TEST = {"metrics": {"auc_early": 0.7, "log_loss": 0.9, "accuracy": 0.5}, "intervals": {"auc_early": [0.6, 0.8]}}
ARTIFACTS = {
    "run1": {"plots/roc.png": b"another"},
    "run2": {
        "plots/roc.png": b"\x89PNG roc",
        "plots/unknown.png": b"?",
        "evaluation.json": json.dumps({"test": TEST}).encode(),
    },
    "run3": {"evaluation.json": b"<html>"},
    "run4": {"evaluation.json": json.dumps(document()).encode()},
}


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Mlflow(ARTIFACTS).answer) as url:
        yield url


def test_the_plots_of_a_run_are_read_through_mlflow(url: str) -> None:
    with training_runs.mlflow(url, "readmission") as client:
        assert training_runs.plots(client, "run2") == {"roc": b"\x89PNG roc"}


def test_the_figures_of_a_run_are_those_of_its_test_rows(url: str) -> None:
    with training_runs.mlflow(url, "readmission") as client:
        assert training_runs.figures(training_runs.evaluation(client, "run2")) == {
            "auc_early": {"value": 0.7, "low": 0.6, "high": 0.8},
            "log_loss": {"value": 0.9, "low": None, "high": None},
        }


def test_a_run_without_artifacts_has_no_plots_and_no_figures(url: str) -> None:
    with training_runs.mlflow(url, "readmission") as client:
        assert training_runs.plots(client, "run9") == {}
        assert training_runs.figures(training_runs.evaluation(client, "run9")) == {}
        assert training_runs.card_data(client, "9") is None


def test_the_card_is_composed_from_the_registered_version_and_its_run(url: str) -> None:
    with training_runs.mlflow(url, "readmission") as client:
        data = training_runs.card_data(client, "4")
    assert data is not None
    facts, evaluation = data
    assert (facts.number, facts.run_id, facts.family, facts.data_report) == ("4", "run4", "gradient_boosting", None)
    assert evaluation == document()


def test_without_mlflow_the_reason_is_reported() -> None:
    with pytest.raises(RunsUnavailable, match="no_mlflow"), training_runs.mlflow(None, "readmission"):
        pass
    with serving(lambda *_: (503, "")) as url:
        pass
    for away in (url, "http://127.0.0.1:9"):
        with pytest.raises(RunsUnavailable, match="mlflow_away"), training_runs.mlflow(away, "readmission") as client:
            training_runs.plots(client, "run2")


def test_an_artifact_that_is_not_json_counts_as_unavailable(url: str) -> None:
    with pytest.raises(RunsUnavailable, match="mlflow_away"), training_runs.mlflow(url, "readmission") as client:
        training_runs.evaluation(client, "run3")
