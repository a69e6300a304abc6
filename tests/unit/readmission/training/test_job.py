"""What a training job reads, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import sklearn  # noqa: F401  # sets variables when it is imported, which no test may do

# MLflow's client warns when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore")

GIVEN = {"model": "gradient_boosting", "data_kind": "real", "execution": "run-1", "distributed": "true"}
HOSTS = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}


def folder(path: Path, given: Any = GIVEN, hosts: Any = HOSTS) -> Path:
    (path / "hyperparameters.json").write_text(json.dumps(given))
    (path / "resourceconfig.json").write_text(json.dumps(hosts))
    return path


def test_a_job_knows_its_training_and_its_place(tmp_path: Path) -> None:
    from readmission.training.job import Job

    job = Job.read(folder(tmp_path))
    assert job.event == {"model": "gradient_boosting", "data_kind": "real", "execution": "run-1"}
    assert (job.distributed, job.hosts, job.leads, job.rows) == (True, ("algo-1", "algo-2"), False, None)
    alone = Job.read(
        folder(tmp_path, GIVEN | {"distributed": "false", "rows": "500"}, HOSTS | {"current_host": "algo-1"})
    )
    assert (alone.distributed, alone.leads, alone.rows) == (False, True, 500)


@pytest.mark.parametrize(
    ("given", "hosts", "error"),
    [
        (GIVEN | {"model": "perceptron"}, HOSTS, "model must be one of .*gradient_boosting, not 'perceptron'"),
        (GIVEN | {"model": "random_forest"}, HOSTS, "distributed must be 'false' for random_forest"),
        (GIVEN | {"data_kind": "other"}, HOSTS, "data_kind must be one of real, synthetic, not 'other'"),
        (GIVEN | {"distributed": True}, HOSTS, "distributed must be one of true, false, not True"),
        (GIVEN | {"execution": "it's"}, HOSTS, "execution must be a name without quotes"),
        (GIVEN | {"execution": ""}, HOSTS, "execution must be a name"),
        (GIVEN | {"rows": "0"}, HOSTS, "rows must be a positive integer, not '0'"),
        (GIVEN | {"rows": "many"}, HOSTS, "rows must be a positive integer, not 'many'"),
        (GIVEN, HOSTS | {"current_host": "algo-3"}, "list current_host 'algo-3' among its hosts"),
        (GIVEN, {}, "list current_host None"),
    ],
)
def test_an_invalid_value_is_refused_by_its_name_and_written_as_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, hosts: Any, error: str
) -> None:
    from readmission.errors import InvalidRequest
    from readmission.training import job

    with pytest.raises(InvalidRequest, match=error):
        job.Job.read(folder(tmp_path, given, hosts))
    monkeypatch.setenv("TRAINING_CONFIG", str(tmp_path))
    monkeypatch.setenv("TRAINING_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setattr(job.signal, "signal", lambda *_: None)
    assert job.main() == 1
    (line,) = (tmp_path / "output" / "failure").read_text().splitlines()
    assert line.startswith("InvalidRequest: ")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    from readmission.errors import ConfigurationError
    from readmission.training.job import Job

    (folder(tmp_path) / "resourceconfig.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"resourceconfig\.json"):
        Job.read(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("DASK_SCHEDULER_PORT", "0"), ("TRAINING_THREADS", "many")])
def test_an_invalid_setting_of_a_worker_is_written_as_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    from readmission.training import job

    monkeypatch.setenv("TRAINING_CONFIG", str(folder(tmp_path)))
    monkeypatch.setenv("TRAINING_OUTPUT", str(tmp_path))
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(job.signal, "signal", lambda *_: None)
    assert job.main() == 1
    assert (tmp_path / "failure").read_text().startswith(f"ConfigurationError: the environment variable {name} must be")


def test_an_unexpected_error_is_written_without_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may quote rows."""
    from readmission.training import job

    def fail(*_: object) -> None:
        raise KeyError("patient 12345")

    monkeypatch.setenv("TRAINING_CONFIG", str(folder(tmp_path, hosts=HOSTS | {"current_host": "algo-1"})))
    monkeypatch.setenv("TRAINING_OUTPUT", str(tmp_path))
    monkeypatch.setattr(job.signal, "signal", lambda *_: None)
    monkeypatch.setattr(job, "_lead", fail)
    with pytest.raises(KeyError):
        job.main()
    assert (tmp_path / "failure").read_text() == "KeyError: see the log of the job\n"
