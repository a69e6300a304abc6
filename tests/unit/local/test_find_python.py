"""`infra/find-python`: the Python 3.13 that the Makefile installs with."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.settings import ROOT

OURS = Path(sys.executable).resolve()


def _find(home: Path, given: str = "", path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    """With only the system's programs, and this home folder."""
    variables = {"HOME": str(home), "PATH": path, "PYENV_ROOT": str(home / ".pyenv")}
    return subprocess.run(
        [ROOT / "infra" / "find-python", given], env=variables, capture_output=True, text=True, check=False
    )


def _install(path: Path, script: str = f'exec "{OURS}" "$@"') -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A folder with the system's programs other than Python 3.13, which some systems have."""
    folder = tmp_path / "system"
    folder.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "python3.13":
            (folder / program.name).symlink_to(program)
    return folder


@pytest.mark.parametrize(
    "place",
    [
        ".local/bin/python3.13",
        ".local/share/uv/python/cpython-3.13.9-linux-x86_64-gnu/bin/python3.13",
        ".pyenv/versions/3.13.0/bin/python3.13",
    ],
)
def test_the_pythons_of_uv_and_pyenv_are_found(tmp_path: Path, system: Path, place: str) -> None:
    _install(tmp_path / place)
    found = _find(tmp_path, path=str(system))
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).resolve() == OURS


def test_without_any_the_error_says_how_to_get_one(tmp_path: Path, system: Path) -> None:
    found = _find(tmp_path, path=str(system))
    assert (found.returncode, found.stdout) == (1, "")
    assert "pip install uv && uv python install 3.13" in found.stderr


def test_one_that_cannot_start_is_named_with_its_error(tmp_path: Path, system: Path) -> None:
    broken = _install(tmp_path / "bin" / "python3.13", "echo 'libpython3.13.so: cannot open' >&2; exit 127")
    found = _find(tmp_path, path=f"{broken.parent}:{system}")
    assert found.returncode == 1
    assert "python3.13: libpython3.13.so: cannot open" in found.stderr
    assert "uv python install 3.13" in found.stderr


def test_one_that_cannot_start_does_not_hide_one_that_can(tmp_path: Path, system: Path) -> None:
    broken = _install(tmp_path / "bin" / "python3.13", "exit 127")
    _install(tmp_path / ".local" / "bin" / "python3.13")
    found = _find(tmp_path, path=f"{broken.parent}:{system}")
    assert Path(found.stdout.strip()).resolve() == OURS


def test_one_without_a_module_that_the_installation_needs_is_refused(tmp_path: Path) -> None:
    given = _install(
        tmp_path / "a folder" / "python", "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1"
    )
    found = _find(tmp_path, str(given))
    assert found.returncode == 1
    assert f"{given}: ModuleNotFoundError: No module named 'ensurepip'" in found.stderr


def test_the_one_that_is_given_is_the_only_one_tried(tmp_path: Path) -> None:
    _install(tmp_path / ".local" / "bin" / "python3.13")
    found = _find(tmp_path, "/no/python")
    assert found.returncode == 1 and "/no/python: not found" in found.stderr
    assert _find(tmp_path, str(tmp_path / ".local" / "bin" / "python3.13")).returncode == 0
