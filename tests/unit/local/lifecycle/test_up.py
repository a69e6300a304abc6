"""A deployment to a LocalStack that cannot delete a failed stack."""

from pathlib import Path
from typing import Any

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.lifecycle import application, up
from infra.local.lifecycle.repair import CannotDelete
from infra.local.servers import supervision
from infra.local.servers.supervision import State


def _deploy(monkeypatch: pytest.MonkeyPatch, folder: Path, *outcomes: Any) -> tuple[Any, list[str]]:
    """The result of `up.deploy` where a deployment has these outcomes, one after the other, and what was done."""
    done: list[str] = []
    left = list(outcomes)

    def deploy(loaded: settings.Settings) -> Any:
        done.append("deploy")
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(up, "start", lambda loaded: done.append("start"))
    monkeypatch.setattr(application, "deploy", deploy)
    running = State("RUNNING", 1, 0, 0)
    monkeypatch.setattr(supervision, "states", lambda loaded: dict.fromkeys(loaded.programs, running))
    monkeypatch.setattr(supervision, "stop_program", lambda loaded, program: done.append(f"stop {program}"))
    return up.deploy(settings.load({"LOCAL_DIR": str(folder)})), done


def test_a_localstack_that_cannot_delete_the_failed_stack_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deployed, done = _deploy(monkeypatch, tmp_path, CannotDelete("DELETE_FAILED"), "the stack")
    assert deployed == "the stack"
    assert done == ["start", "deploy", "stop s3-mirror", "stop localstack", "start", "deploy"]


def test_otherwise_it_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _deploy(monkeypatch, tmp_path, "the stack") == ("the stack", ["start", "deploy"])


def test_it_is_replaced_once_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no space"):
        _deploy(monkeypatch, tmp_path, LocalError("no space"))
    with pytest.raises(CannotDelete, match="again"):
        _deploy(monkeypatch, tmp_path, CannotDelete("DELETE_FAILED"), CannotDelete("again"))
