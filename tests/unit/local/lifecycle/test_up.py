"""A deployment to a LocalStack that cannot delete a failed stack, and one that cannot be restored."""

from pathlib import Path
from typing import Any

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.lifecycle import application, snapshot, up
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


def test_a_localstack_whose_restoration_broke_off_is_replaced_and_deployed_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    loaded = settings.load({"LOCAL_DIR": str(tmp_path)})
    loaded.snapshot.mkdir(parents=True)
    down = State("STOPPED", 0, 0, 0)

    def restore(_: settings.Settings) -> str:
        if loaded.snapshot.exists():
            raise snapshot.NotRestored("The deployed application could not be restored: EOFError")
        done.append("find no snapshot")
        return "no snapshot"

    def start(_: settings.Settings, program: str) -> Any:
        done.append(f"start {program}")
        return lambda: None

    monkeypatch.setattr(
        up, "AFTER_LOCALSTACK", [("restore", "restoring", restore), ("stack", "deploying", _redeploy(done))]
    )
    monkeypatch.setattr(up, "_start", start)
    monkeypatch.setattr(supervision, "states", lambda loaded: dict.fromkeys(loaded.programs, down))
    monkeypatch.setattr(supervision, "stop_program", lambda loaded, program: done.append(f"stop {program}"))
    up._start_localstack(loaded)
    started = "start localstack"
    assert done == [started, "stop localstack", started, "find no snapshot", "deploy", "start s3-mirror"]
    assert "could not be restored: EOFError" in capsys.readouterr().out


def _redeploy(done: list[str]) -> Any:
    def redeploy(_: settings.Settings) -> str:
        done.append("deploy")
        return "deployed"

    return redeploy
