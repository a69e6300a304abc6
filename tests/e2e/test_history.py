from mlflow import MlflowClient

from tests import training_runs
from tests.e2e.conftest import Application, Trained


def _history(application: Application) -> str:
    return application.platform.run("history", "--limit", "1000")


def _served(application: Application) -> str:
    return str(application.call("/reload-model", method="POST").json["model_version"])


def test_every_promotion_is_in_the_history_with_its_reason(application: Application, trained: Trained) -> None:
    promotion = trained.output["promotion"]
    said = _history(application)
    assert promotion["decision"] in said and promotion["reason"] in said


def test_a_promotion_can_be_rolled_back_and_does_not_come_back_by_itself(
    application: Application, trained: Trained
) -> None:
    first = _served(application)
    version = MlflowClient().get_model_version("readmission", first)
    family = version.tags["family"]
    training_runs.train_again(version.run_id)
    second = application.run(source=trained.source, start_at="promote", models=[family])["promotion"]
    assert (second["decision"], _served(application)) == ("promoted", second["version"])

    said = application.platform.run("rollback", "--reason", "a test", "--by", "an operator")
    assert f"Version {first} is in production again. It replaces version {second['version']}." in said
    assert _served(application) == first
    assert "rolled back" in _history(application) and "a test" in _history(application)
    assert "an operator" in _history(application)

    again = application.run(source=trained.source, start_at="promote", models=[family])["promotion"]
    assert (again["decision"], again["production_version"], _served(application)) == ("refused", first, first)
    assert "was taken out of Production by the rollback" in again["reason"] and again["reason"] in _history(application)


def test_a_rollback_that_cannot_be_says_why(application: Application, trained: Trained) -> None:
    serving = _served(application)
    for version, says in ((serving, "is in Production already"), ("9999", "there is no version 9999")):
        refused = application.platform.run("rollback", "--version", version, "--reason", "a test", exit_code=1)
        assert says in refused
    assert "needs a reason" in application.platform.run("rollback", "--version", "9999", exit_code=1)
    assert _served(application) == serving
