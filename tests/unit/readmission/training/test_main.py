"""A training as a process."""

import json

import pytest
from aws_lambda_powertools import Logger

# MLflow's client warns when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--execution", "run-1"], "--model"),
        (["--model", "gradient_boosting"], "--execution"),
        (["--model", "perceptron", "--execution", "run-1"], "--model"),
        (["--model", "gradient_boosting", "--execution", "it's"], "--execution"),
        (["--model", "gradient_boosting", "--execution", "run-1", "--data-kind", "other"], "--data-kind"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from readmission.training import __main__ as trainer

    with pytest.raises(SystemExit) as ended:
        trainer.main(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_a_failure_is_logged_and_counted_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from readmission.training import __main__ as trainer

    monkeypatch.delenv("DATABASE_SECRET", raising=False)
    # Powertools keeps one logger per service, which may write to the output of an earlier test.
    monkeypatch.setattr(trainer.observability, "logger", lambda service: Logger(service=f"{service}-as-a-process"))
    assert trainer.main(["--model", "logistic_regression", "--execution", "run-1"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("error") for line in lines].count("ConfigurationError") == 1
    assert any(line.get("outcome") == "failed" and line.get("StepRuns") for line in lines)
