"""The steps of the deployment workflow, with fakes of `aws`, `sam` and `curl`, and what the workflow promises."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())
JOB = WORKFLOW["jobs"]["deploy"]
STEPS = {step["name"]: step for step in JOB["steps"] if "name" in step}
ORDER = list(STEPS)


def run(folder: Path, step: str, /, **programs: str) -> subprocess.CompletedProcess[str]:
    """The step, where these shell scripts stand for programs; each call is a line of the file `calls`."""
    for name, script in programs.items():
        program = folder / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/calls\n{script}\n')
        program.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "STACK": "readmission", "PARAMETERS": "A=1 B=2"}
    # The script puts the checkout's environment first, so it runs where there is none.
    (folder / "checkout").mkdir(exist_ok=True)
    command = [ROOT / ".ci" / "deploy", step]
    return subprocess.run(
        command, cwd=folder / "checkout", env=environment, capture_output=True, text=True, check=False
    )


def answers(health: int, health_body: str, predict: int) -> str:
    """A curl that answers the two routes."""
    return f"""
while [ $# -gt 0 ]; do [ "$1" = --output ] && file=$2; url=$1; shift; done
case "$url" in
  */health) echo '{health_body}' > "$file"; echo {health} ;;
  */predict) echo '{{}}' > "$file"; echo {predict} ;;
esac"""


@pytest.mark.parametrize(
    ("health", "body", "predict", "passes"),
    [
        (200, "{}", 200, True),
        (503, "no version of the model is in Production yet", 500, True),
        (503, "the MLflow server does not answer", 200, False),
        (200, "{}", 500, False),
        (403, "{}", 200, False),
    ],
)
def test_the_smoke_test_passes_only_where_the_api_answers(
    tmp_path: Path, health: int, body: str, predict: int, passes: bool
) -> None:
    done = run(
        tmp_path, "smoke", aws="echo https://api.example", curl=answers(health, body, predict), python="echo '{}'"
    )
    assert (done.returncode == 0) is passes, done.stderr


def test_the_key_is_no_argument_of_a_program(tmp_path: Path) -> None:
    aws = 'case "$*" in *get-api-key*) echo the-secret-key ;; *) echo https://api.example ;; esac'
    run(tmp_path, "smoke", aws=aws, curl=answers(200, "{}", 200), python="echo '{}'")
    assert "curl " in (tmp_path / "calls").read_text() and "the-secret-key" not in (tmp_path / "calls").read_text()


def test_a_deployment_passes_the_parameters_and_names_its_commit(tmp_path: Path) -> None:
    assert run(tmp_path, "stack", sam="", git="echo 0f3c").returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert "sam build\n" in calls and "--config-env aws" in calls
    assert "--tags commit=0f3c --parameter-overrides A=1 B=2\n" in calls


def test_a_build_that_fails_is_not_deployed(tmp_path: Path) -> None:
    assert run(tmp_path, "stack", sam='[ "$1" != build ]', git="echo 0f3c").returncode != 0
    assert "sam deploy" not in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("aws", "printed", "status"),
    [
        ("echo 0f3c", "0f3c\n", 0),
        ("echo 'Stack with id readmission does not exist' >&2; exit 254", "", 0),
        ("echo 'AccessDenied' >&2; exit 254", "", 1),
    ],
    ids=["deployed", "no stack", "not allowed"],
)
def test_the_commit_before_is_that_of_the_stack(tmp_path: Path, aws: str, printed: str, status: int) -> None:
    done = run(tmp_path, "commit", aws=aws)
    assert (done.stdout, done.returncode) == (printed, status)


def test_the_deployment_waits_for_the_tests_and_for_the_approval_of_its_environment() -> None:
    assert JOB["needs"] == "test" and WORKFLOW["jobs"]["test"]["uses"] == "./.github/workflows/ci.yml"
    assert JOB["environment"] == "${{ inputs.environment }}"
    assert set(WORKFLOW[True]) == {"workflow_dispatch"}  # YAML reads `on` as true


def test_github_gets_a_role_for_one_run_and_stores_no_keys() -> None:
    assert JOB["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "deploy.yml").read_text()


def test_a_failed_deployment_or_smoke_test_brings_back_the_commit_before() -> None:
    assert ORDER == ["What runs now", "Deploy", "Smoke test", "Roll back"]
    assert STEPS["Roll back"]["if"] == "failure() && steps.before.outputs.commit != ''"
    assert STEPS["Roll back"]["env"] == {"BEFORE": "${{ steps.before.outputs.commit }}"}
