"""`make env`: what a shell gets."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from readmission.settings import PatientKeySettings, PredictionLogSettings

from infra.local import settings, stack
from infra.local.commands import env
from infra.local.servers import supervision
from infra.local.stack import Stack

STACK = Stack("id", "the key", "https://localhost:1/v1", "token", "arn", "bucket", {})
CALLER = {
    "AWS_PROFILE": "nope",
    "AWS_ENDPOINT_URL_S3": "https://s3.example",
    "AWS_REGION": "eu-west-1",
    "MLFLOW_TRACKING_TOKEN": "foreign",
    "NO_PROXY": "intranet.example",
    "API_URL": "https://elsewhere.example",
}


def _exports(monkeypatch: pytest.MonkeyPatch, folder: Path, deployed: Stack | None) -> str:
    monkeypatch.setattr(stack, "find", lambda settings: deployed)
    monkeypatch.setattr(supervision, "runs", lambda settings, program: False)
    return env.exports(settings.load({"LOCAL_DIR": str(folder), "LOCALSTACK_PORT": "4599"}), CALLER)


def _shell(monkeypatch: pytest.MonkeyPatch, folder: Path, deployed: Stack | None) -> dict[str, str]:
    """The variables of the caller's shell after `eval "$(make -s env)"`."""
    exports = _exports(monkeypatch, folder, deployed)
    done = subprocess.run(
        ["/bin/sh", "-c", 'eval "$0" && env -0', exports], env=CALLER, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_a_shell_gets_the_local_platform_and_loses_what_points_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = _shell(monkeypatch, tmp_path, STACK)
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "MLFLOW_TRACKING_TOKEN"} & set(variables) == set()
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4599"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "us-east-1"
    assert set(variables["no_proxy"].split(",")) == {"127.0.0.1", "localhost", "::1", "intranet.example"}
    assert (variables["API_URL"], variables["API_KEY"]) == (STACK.api_url, "the key")


def test_a_shell_gets_what_a_process_of_the_api_needs_to_use_the_prediction_log_of_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outputs = {"PredictionQueueUrl": "http://queue", "PatientKeySecret": "arn:key", "DataBucketName": "bucket"}
    variables = _shell(monkeypatch, tmp_path, replace(STACK, outputs=outputs))
    asked = variables | {"PREDICTION_LOG": "on"}
    assert PredictionLogSettings.from_environment(asked) == PredictionLogSettings(
        "http://queue", "bucket", 0.5, PatientKeySettings("arn:key")
    )
    assert "PREDICTION_QUEUE_URL" not in _shell(monkeypatch, tmp_path, STACK)


@pytest.mark.parametrize("option", ["--config-env aws", "--config-env=aws"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_deployment_that_is_meant_for_aws_is_refused_in_a_shell_that_points_at_localstack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str, option: str
) -> None:
    exports, path = _exports(monkeypatch, tmp_path, None), _sam(tmp_path)
    script = f'eval "$0" && PATH={path}:$PATH && sam deploy --guided; sam deploy {option} --guided'
    done = subprocess.run([shell, "-c", script, exports], env=CALLER, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "sam deploy --guided\n")
    assert "points at LocalStack" in done.stderr


def _sam(folder: Path) -> Path:
    """A folder with a program `sam` that prints how it was called."""
    program = folder / "sam"
    program.write_text('#!/bin/sh\necho "sam $*"\n')
    program.chmod(0o755)
    return folder


def test_without_a_deployed_application_another_api_is_not_left_in_the_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "API_URL" not in _shell(monkeypatch, tmp_path, None)
