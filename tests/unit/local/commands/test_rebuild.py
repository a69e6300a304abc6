import subprocess
from typing import Any

import pytest

from infra.local import aws, settings
from infra.local.commands import rebuild
from infra.local.errors import LocalError


@pytest.mark.parametrize("code", [0, 1])
def test_the_training_runs_with_the_settings_of_the_function(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    class Lambda:
        def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
            assert FunctionName == "readmission-train"
            return {"Environment": {"Variables": {"MODEL_NAME": "readmission"}}}

    started: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], env: dict[str, str], check: bool) -> "subprocess.CompletedProcess[str]":
        started.append((command[1:], env))
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(aws, "client", lambda *_: Lambda())
    monkeypatch.setattr(subprocess, "run", run)
    assert rebuild.rebuild(settings.load({}), "3") == code
    ((command, environment),) = started
    assert command == ["-m", "readmission.training.rebuild", "--version", "3"]
    assert environment["MODEL_NAME"] == "readmission" and "AWS_ENDPOINT_URL" in environment


@pytest.mark.parametrize("version", ["latest", "-1", "3.0", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_version_number_is_refused(version: str) -> None:
    with pytest.raises(LocalError, match="must be the number of a version"):
        rebuild.rebuild(settings.load({}), version)
