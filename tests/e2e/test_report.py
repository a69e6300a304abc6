"""What an execution leaves of its trainings and its promotion for people to read."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import Application, Trained

PLOTS = {f"plots/{name}.png" for name in ("roc", "precision_recall", "reliability", "feature_effect", "decision_curve")}


def artifact(run_id: str, path: str, folder: Path) -> bytes:
    return Path(MlflowClient().download_artifacts(run_id, path, str(folder))).read_bytes()


def test_every_training_has_its_evaluation_and_its_plots(
    application: Application, trained: Trained, tmp_path: Path
) -> None:
    client = MlflowClient()
    for candidate in trained.output["candidates"]:
        run_id = candidate["mlflow_run_id"]
        evaluation = json.loads(artifact(run_id, "evaluation.json", tmp_path))
        logged = client.get_run(run_id).data.metrics
        assert logged["test_auc_early"] == pytest.approx(evaluation["test"]["metrics"]["auc_early"])
        assert logged["test_auc_early_low"] < logged["test_auc_early"] < logged["test_auc_early_high"]
        assert {file.path for file in client.list_artifacts(run_id, "plots")} == PLOTS
        assert artifact(run_id, "plots/roc.png", tmp_path).startswith(b"\x89PNG")


def test_the_map_over_the_models_answers_the_candidates_alone(application: Application, trained: Trained) -> None:
    assert all(candidate.keys() == {"model", "mlflow_run_id"} for candidate in trained.output["candidates"])


def test_the_version_has_a_card_in_its_run_and_in_the_registry(
    application: Application, trained: Trained, tmp_path: Path
) -> None:
    number = trained.output["promotion"]["version"]
    version = MlflowClient().get_model_version("readmission", number)
    assert version.description.startswith(f"# Model card: readmission, version {number}")
    assert len(version.description) <= 5000
    markdown = artifact(version.run_id, "model_card.md", tmp_path).decode()
    page = artifact(version.run_id, "model_card.html", tmp_path).decode()
    assert page.startswith("<!doctype html>")
    synthetic = trained.source.startswith("synthetic")
    for text in (version.description, markdown, page):
        assert ("SYNTHETIC DATA" in text) == synthetic
    for title in ("Intended use", "Data", "Metrics", "Subgroups", "Limits", "Training"):
        assert f"## {title}" in markdown
