import re

from mlflow import MlflowClient

from tests.e2e.conftest import Application, Trained


def test_a_version_is_trained_again_to_the_same_scorer(application: Application, trained: Trained) -> None:
    version = trained.output["promotion"]["version"]
    said = application.platform.run("rebuild", version)
    expected = MlflowClient(application.settings.mlflow_url).get_model_version("readmission", version)
    assert f"has the same scorer: {expected.tags['scorer_sha256']}" in said


def test_a_version_that_does_not_exist_cannot_be_rebuilt(application: Application, trained: Trained) -> None:
    assert "there is no version 999999" in application.platform.run("rebuild", "999999", exit_code=1)


def test_a_recalibration_is_registered_judged_and_described(application: Application, trained: Trained) -> None:
    trained_version = trained.output["promotion"]["version"]
    said = application.platform.run("recalibrate", "default", "--version", trained_version, "--by", "Ada")
    found = re.search(r"^Version (\d+) (promoted|refused): .*judged on the test rows of the site default", said, re.M)
    assert found is not None, said
    if found[2] == "promoted":  # later tests expect a version that was not recalibrated
        application.platform.run("rollback", "--version", trained_version, "--reason", "the test is over", "--force")
    client = MlflowClient(application.settings.mlflow_url)
    version = client.get_model_version("readmission", found[1])
    assert version.tags["recalibrated_from"] == trained_version and version.tags["recalibrated_for"] == "default"
    assert version.description is not None and "recalibrated for the site default" in version.description
    paths = {artifact.path for artifact in client.list_artifacts(version.run_id)}
    assert {"recalibration.json", "training_rows.json", "model_card.md"} <= paths
