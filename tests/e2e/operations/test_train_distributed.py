import re

from mlflow import MlflowClient

from tests.e2e.conftest import Application, Trained


def test_a_distributed_training_shows_its_progress_its_run_and_what_to_do_next(
    application: Application, trained: Trained
) -> None:
    said = application.platform.run("train-distributed", "--workers", "2")
    assert re.search(r"^train +2 workers joined \(\d+ s\)$", said, re.MULTILINE)
    assert re.search(r"^gradient_boosting( +0\.\d{4}| +\d\.\d{4}){6}$", said, re.MULTILINE)
    assert "make pipeline START_AT=promote MODELS=gradient_boosting" in said
    found = re.search(r"run ([0-9a-f]{32})", said)
    assert found is not None
    client = MlflowClient(application.settings.mlflow_url)
    run = client.get_run(found[1])
    # Later tests promote the newest run of a family.
    client.delete_run(found[1])
    assert (run.info.status, run.data.tags["engine"], run.data.tags["workers"]) == ("FINISHED", "lightgbm", "2")
    assert run.data.tags["data_kind"] == trained.output["data_kind"]


def test_a_training_of_too_few_rows_says_so_by_name(application: Application, trained: Trained) -> None:
    said = application.platform.run("train-distributed", "--workers", "2", "--rows", "20", exit_code=1)
    assert "The training failed: NoTrainingData: 20 exported rows are too few for 2 workers" in said
