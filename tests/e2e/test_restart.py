from mlflow import MlflowClient

from tests.e2e.conftest import Application, Trained


def test_stopping_and_starting_again_loses_nothing(application: Application, trained: Trained) -> None:
    before = application.predict().json
    rows = application.count("raw", "diabetes_raw"), application.count("clean", "diabetes_clean")
    application.platform.run("down")
    assert application.platform.processes() == []
    application.platform.run("up")
    assert (application.count("raw", "diabetes_raw"), application.count("clean", "diabetes_clean")) == rows
    # The same URL and key as before, and the same model from the registry and its artifacts.
    after = application.predict().json
    assert after.pop("request_id") != before.pop("request_id")
    assert after == before
    client = MlflowClient()
    version = client.get_model_version_by_alias("readmission", "Production")
    assert client.list_artifacts(version.run_id)
