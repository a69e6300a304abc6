"""Training runs in MLflow that cost no training."""

from collections.abc import Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunInfo
from readmission.registry import names


def copy(client: MlflowClient, run: Run, artifacts: Mapping[str, str], experiment: str, execution: str) -> RunInfo:
    """A finished run of another execution: newer than `run`, otherwise like it. The same rows train the same model.

    `artifacts` are the texts that the new run gets, by path.
    """
    data = run.data
    tags = data.tags | {names.PIPELINE_RUN: execution}
    own = client.create_run(experiment, tags=tags, run_name=tags[names.FAMILY]).info
    metrics = [Metric(name, value, own.start_time, 0) for name, value in data.metrics.items()]
    client.log_batch(own.run_id, metrics, [Param(*param) for param in data.params.items()])
    for path, text in artifacts.items():
        client.log_text(own.run_id, text, path)
    assert run.outputs is not None
    (model,) = run.outputs.model_outputs
    client.log_outputs(own.run_id, [LoggedModelOutput(model.model_id, 0)])
    client.set_terminated(own.run_id)
    return own


def train_again(run_id: str) -> None:
    """The same recipe on the same rows: not worse, and newer. Its artifacts are those that a promotion reads."""
    client = MlflowClient()
    run = client.get_run(run_id)
    paths = (names.SCORER, names.EVALUATION, names.DATA_REPORT)
    artifacts = {path: mlflow.artifacts.load_text(f"runs:/{run_id}/{path}") for path in paths}
    copy(client, run, artifacts, run.info.experiment_id, "trained again")
