import os
from pathlib import Path

import pytest

from infra.local.commands import debian
from infra.local.errors import LocalError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_an_installed_program_is_used(programs: Path) -> None:
    script(programs / "observer", "exit 1")
    assert debian.ensure("observer") == str(programs / "observer")


def test_root_installs_a_missing_program(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = programs / "log"
    install = f'[ "$1" = update ] || {{ echo "#!/bin/sh" > {programs}/observer; /bin/chmod +x {programs}/observer; }}'
    script(programs / "apt-get", f'echo "$DEBIAN_FRONTEND $@" >> {log}\n{install}')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert debian.ensure("observer") == str(programs / "observer")
    assert log.read_text().splitlines() == [
        "noninteractive update",
        "noninteractive install -y --no-install-recommends observer",
    ]


def test_other_users_get_the_command_to_run(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(programs / "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="sudo apt-get install -y --no-install-recommends observer"):
        debian.ensure("observer")


def test_a_failure_shows_the_output_of_apt_get(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(programs / "apt-get", "echo no network; exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LocalError, match="no network"):
        debian.ensure("observer")


def test_a_machine_without_apt_get_is_reported(programs: Path) -> None:
    with pytest.raises(LocalError, match="no apt-get"):
        debian.ensure("observer")
