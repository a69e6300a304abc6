"""A new version is tried on the requests of the deployed API: it shadows, is a canary, and serves."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from mlflow import MlflowClient
from readmission.serving.schemas import EXAMPLE

from infra.local import stack
from infra.local.lifecycle import parameters
from tests import training_runs
from tests.e2e.conftest import Application, Trained

REQUESTS = 120
_patients = count(1_000_000)


@pytest.fixture(scope="module")
def trying(application: Application, trained: Trained) -> Iterator[Application]:
    """The same application, which tries versions on live requests while these tests run, and serves as before after."""
    serving = str(application.call("/reload-model", method="POST").json["model_version"])
    before = " ".join(f"{name}={value}" for name, value in parameters.kept(application.settings).items())
    tries = f"{before} PredictionLog=on ShadowRequests={REQUESTS} CanaryShare=0.3"
    application.platform.run("deploy", "--parameters", tries)
    yield Application(application.platform, stack.get(application.settings))
    application.platform.run("deploy", "--parameters", before)
    if application.call("/reload-model", method="POST").json["model_version"] != serving:
        application.platform.run("rollback", "--version", serving, "--reason", "the tests are over", "--force")


def _shadowed(application: Application, trained: Trained) -> tuple[str, str]:
    """The version in production, and a new one that shadows it."""
    serving = str(application.call("/reload-model", method="POST").json["model_version"])
    version = MlflowClient().get_model_version("readmission", serving)
    training_runs.train_again(version.run_id)
    promotion = application.run(source=trained.source, start_at="promote", models=[version.tags["family"]])["promotion"]
    assert (promotion["decision"], promotion["production_version"]) == ("shadowed", serving)
    assert application.call("/reload-model", method="POST").json["model_version"] == serving
    return serving, str(promotion["version"])


def _ask(application: Application) -> set[str]:
    """As many requests of new patients as a step needs; the versions that answered."""
    found = set()
    for _ in range(REQUESTS):
        answer = application.call("/predict", {**EXAMPLE, "patient_nbr": next(_patients)})
        assert answer.status == 200, answer.text
        found.add(answer.json["model_version"])
    return found


def _wait(what: Callable[[], bool], seconds: float = 240) -> None:
    """For the log, some seconds, and the guard, which looks every minute."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(2)


def _challenger(application: Application) -> Any:
    application.call("/reload-model", method="POST")
    return application.call("/model").json.get("challenger")


def test_a_new_version_shadows_is_a_canary_and_serves(trying: Application, trained: Trained) -> None:
    serving, new = _shadowed(trying, trained)
    assert (_challenger(trying)["version"], _challenger(trying)["canary_share"]) == (new, 0)
    assert f"version {serving}, which serves" in trying.platform.run("challenger")
    assert _ask(trying) == {serving}

    _wait(lambda: bool(_challenger(trying)["canary_share"]))
    assert _ask(trying) == {serving, new}

    _wait(lambda: _challenger(trying) is None)
    assert _ask(trying) == {new}
    said = trying.platform.run("history", "--limit", "3")
    assert all(decision in said for decision in ("promoted", "canaried", "shadowed")) and "guard" in said

    replayed = trying.platform.run("replay", new)
    assert "rows a second" in replayed and "the same class in 100.0%" in replayed


def test_a_person_takes_a_challenger_back(trying: Application, trained: Trained) -> None:
    serving, new = _shadowed(trying, trained)
    said = trying.platform.run("abort-challenger", "--reason", "a test", "--by", "Ada")
    assert said.startswith(f"Version {new} is tried no more. Version {serving} answers all patients")
    assert _challenger(trying) is None
    assert "No version is tried on live requests." in trying.platform.run("challenger")
    refused = trying.platform.run("challenger", "--version", new, "--reason", "again", exit_code=1)
    assert "was withdrawn before" in refused
