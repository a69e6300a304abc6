"""Distributed trainings as jobs: real processes, each as one host of its own loopback address."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from readmission.evaluation import dataset
from readmission.registry import names
from readmission.registry.mlflow_client import experiment_id
from readmission.scoring.scorer import load

from tests.integration.readmission.conftest import BUCKETS, Stores
from tests.integration.readmission.models import MLFLOW_WARNINGS, Models, Trainings
from tests.platforms import free_ports

pytestmark = MLFLOW_WARNINGS

HOSTS = ("127.0.0.1", "127.0.0.2")


@dataclass
class Job:
    """The processes of a job by host, started with `start`."""

    folder: Path
    model_name: str
    execution: str = "run"
    processes: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def start(self, **given: str) -> None:
        values = {"model": "gradient_boosting", "data_kind": "synthetic", "execution": self.execution}
        port = str(free_ports(1)[0])
        for host in HOSTS:
            own = self.folder / self.execution / host
            own.mkdir(parents=True)
            (own / "hyperparameters.json").write_text(json.dumps({**values, "distributed": "true", **given}))
            (own / "resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": HOSTS}))
            variables = {
                "TRAINING_CONFIG": str(own),
                "TRAINING_OUTPUT": str(own),
                "TRAINING_THREADS": "1",
                "DASK_SCHEDULER_PORT": port,
                "DATA_BUCKET": BUCKETS[0],
                "MODEL_NAME": self.model_name,
            }
            with (own / "log").open("w") as log:
                self.processes[host] = subprocess.Popen(
                    [sys.executable, "-m", "readmission.training.job"],
                    env=os.environ | variables,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    text=True,
                )

    def log(self, host: str = HOSTS[0]) -> str:
        return (self.folder / self.execution / host / "log").read_text()

    def failure(self, host: str = HOSTS[0]) -> str:
        return (self.folder / self.execution / host / "failure").read_text()

    def wait(self, seconds: float = 300) -> list[int]:
        """The exit codes."""
        return [process.wait(seconds) for process in self.processes.values()]

    def wait_for(self, progress: str) -> None:
        deadline = time.monotonic() + 300
        while progress not in self.log():
            assert self.processes[HOSTS[0]].poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Models:
    models = Models(stores, request.node.name[:60], trainings)
    models.load()
    models.load(seed=2)
    return models


@pytest.fixture
def start(models: Models, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Starts a job; none outlives the test."""
    jobs: list[Job] = []

    def start(execution: str = "run", **given: str) -> Job:
        jobs.append(Job(tmp_path, models.settings.name, execution))
        jobs[-1].start(**given)
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()


def runs(models: Models) -> list[Any]:
    return list(models.client.search_runs([experiment_id(models.client, models.settings)]))


def test_workers_train_a_model_that_is_promoted_like_any_other_and_the_same_model_again(
    models: Models, start: Callable[..., Job]
) -> None:
    job = start("one")
    assert job.wait() == [0, 0], job.log()
    (run,) = runs(models)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["family"], run.data.tags["engine"]) == ("gradient_boosting", "lightgbm")
    rows = dataset.load(models.stores.clean, "synthetic")
    sizes = {split: int(run.data.params[f"rows_{split}"]) for split in rows}
    assert sizes == {split: len(part.target) for split, part in rows.items()}
    assert run.data.tags["recipe"] == "engine=lightgbm; workers=2"
    assert run.data.tags["data_hash"] == dataset.rows_hash(models.stores.clean, "synthetic")
    assert run.data.metrics["patients_in_two_splits"] == 0
    assert run.data.metrics["scorer_largest_difference"] <= 1e-9
    assert {"evaluation.json", "data_report.json", "scorer.json"} <= {
        entry.path for entry in models.client.list_artifacts(run.info.run_id)
    }
    scorer = load(
        mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{names.SCORER}").encode(), run.data.tags["scorer_sha256"]
    )
    pipeline: Any = mlflow.sklearn.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    test = rows["test"].features
    ours = np.array([scorer.probabilities(row) for row in test[list(scorer.features)].to_numpy().tolist()])
    assert np.abs(ours - pipeline.predict_proba(test)).max() <= 1e-9
    found = {"model": "gradient_boosting", "mlflow_run_id": run.info.run_id}
    assert models.promote(found)["decision"] == "promoted"  # type: ignore[arg-type]
    (version,) = models.client.search_model_versions(f"name = '{models.settings.name}'")
    assert version.tags["engine"] == "lightgbm"

    repeated = start("two")
    assert repeated.wait() == [0, 0], repeated.log()
    second, _ = runs(models)
    assert second.data.tags["scorer_sha256"] == run.data.tags["scorer_sha256"]


def test_a_killed_worker_fails_the_training_by_name_and_nothing_is_left(
    models: Models, start: Callable[..., Job]
) -> None:
    job = start()
    job.wait_for(" columns")
    job.processes[HOSTS[1]].kill()
    assert job.wait()[0] == 1
    assert job.failure().startswith("WorkerLost: 1 of 2 workers ended before the training did: tcp://127.0.0.2:")
    (run,) = runs(models)
    assert run.info.status == "FAILED"
    assert not models.client.search_registered_models(f"name = '{models.settings.name}'")


def test_a_stopped_job_ends_its_run_and_its_workers(models: Models, start: Callable[..., Job]) -> None:
    job = start()
    job.wait_for(" columns")
    job.processes[HOSTS[0]].send_signal(signal.SIGTERM)
    assert job.wait(30) == [1, 1]
    assert job.failure().startswith("Stopped: ")
    assert job.failure(HOSTS[1]).startswith("WorkerLost: ")
    (run,) = runs(models)
    assert run.info.status == "FAILED"


def test_a_training_of_too_few_rows_is_refused_by_name_on_every_host(models: Models, start: Callable[..., Job]) -> None:
    job = start(rows="20")
    assert job.wait() == [1, 1]
    assert job.failure().startswith("NoTrainingData: ")
    assert [run.info.status for run in runs(models)] == ["FAILED"]
