"""What the first installation says and checks."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import requirements, settings, uci
from infra.local.settings import ROOT


def test_it_runs_without_any_package() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "infra.local.requirements", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_little_space_and_another_system_are_errors() -> None:
    assert requirements.missing("linux", lambda folder: 5 << 30) == []
    (space,) = requirements.missing("linux", lambda folder: 3 << 29)
    assert space == f"The disk of {ROOT} has 1.5 GB left. Make space, or clone to another disk."
    (system,) = requirements.missing("darwin", lambda folder: 5 << 30)
    assert "Linux" in system


def test_little_memory_is_a_warning(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:       24684000 kB\nMemAvailable:    2097152 kB\n")
    assert requirements.memory_warnings(memory) == ["only 2.0 GB of memory is available. Trainings may be killed."]
    memory.write_text("MemTotal:       24684000 kB\nMemAvailable:    8388608 kB\n")
    assert requirements.memory_warnings(memory) == []
    assert requirements.memory_warnings(tmp_path / "none") == []


def test_a_port_in_use_is_a_warning_unless_the_platform_itself_runs(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        loaded = settings.load({"LOCAL_DIR": str(tmp_path), "MLFLOW_PORT": str(port)})
        warnings = requirements.port_warnings(loaded)
        assert f"port {port} is in use. Stop what uses it, or set MLFLOW_PORT to another port." in warnings
        loaded.create_directories()
        settings.record(loaded)
        assert requirements.port_warnings(loaded) == []


def test_needs_are_said_and_an_unreachable_archive_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr(requirements, "missing", lambda: [])
    monkeypatch.setattr(uci, "problem", lambda: "cannot be reached: no route")
    assert requirements.main(["--uci"]) == 0
    said = capsys.readouterr().err
    for need in ("5 GB on the disk", "4 GB of memory", "minutes", "PyPI", "55432, 5000, 4566", "MLFLOW_PORT"):
        assert need in said
    assert "the UCI archive cannot be reached: no route" in said and "SYNTHETIC" in said


def test_what_is_missing_ends_the_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: ["No disk."])
    assert requirements.main([]) == 1
    assert "No disk." in capsys.readouterr().err
