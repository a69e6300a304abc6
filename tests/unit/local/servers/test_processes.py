import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local import settings
from infra.local.servers import processes
from infra.local.servers.processes import MARK
from infra.local.settings import Settings

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    return settings.load({"LOCAL_DIR": str(tmp_path)})


@contextmanager
def python(code: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_a_program_is_recognised_by_its_temporary_folder(loaded: Settings) -> None:
    with python(SLEEP, TMPDIR=str(loaded.temporary / "localstack" / "function")) as process:
        assert [(found.pid, found.program) for found in processes.ours(loaded)] == [(process.pid, "localstack")]


def test_a_child_that_dropped_its_environment_is_recognised_by_its_parent(loaded: Settings) -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], env={{}})"
    with python(child, TMPDIR=str(loaded.temporary / "mlflow")) as process:
        found = processes.ours(loaded)
        assert {one.program for one in found} == {"mlflow"}
        assert len(found) == 2
        assert [root.pid for root in processes.roots(found)] == [process.pid]
        processes.kill(found)


@pytest.mark.parametrize("variables", [{}, {"TMPDIR": "elsewhere/localstack"}, {"LOCAL_DIR": "same"}])
def test_a_foreign_process_is_not_ours(loaded: Settings, variables: dict[str, str]) -> None:
    with python(SLEEP, **{name: value.replace("same", str(loaded.directory)) for name, value in variables.items()}):
        assert processes.ours(loaded) == []


def test_a_platform_in_a_folder_with_the_same_prefix_is_not_ours(loaded: Settings) -> None:
    alike = loaded.directory.with_name(f"{loaded.directory.name}2")
    with python(SLEEP, **{MARK: str(alike), "TMPDIR": str(alike / loaded.temporary.name / "mlflow")}):
        assert processes.ours(loaded) == []


def test_a_process_that_ignores_sigterm_is_killed(loaded: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(processes.PATIENCE_SECONDS, "mlflow", 0.2)
    with python(STUBBORN, TMPDIR=str(loaded.temporary / "mlflow")) as process:
        processes.stop_leftovers(processes.ours(loaded))
        assert process.wait(timeout=5) == -9
    assert processes.ours(loaded) == []


def test_a_program_that_starts_first_stops_what_its_predecessor_left_behind(loaded: Settings) -> None:
    loaded.create_directories()
    environment = {"LOCAL_DIR": str(loaded.directory), "PATH": ""}
    with (
        python(SLEEP, TMPDIR=str(loaded.temporary / "mlflow" / "worker")) as worker,
        python(SLEEP, TMPDIR=str(loaded.temporary / "localstack")) as another,
    ):
        replacement = f"""
from infra.local.servers import programs
programs.PROGRAMS["mlflow"] = lambda settings: ([{sys.executable!r}, "-c", "print('replaced')"], {{}})
programs.become("mlflow")
"""
        started = subprocess.run(
            [sys.executable, "-c", replacement], cwd=settings.ROOT, env=environment, capture_output=True, check=False
        )
        assert started.stdout.decode().splitlines() == [
            "stopping 1 processes that the last mlflow left behind",
            "replaced",
        ], started.stderr
        assert worker.wait(timeout=5) == -15
        assert another.poll() is None
