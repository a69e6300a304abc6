"""Platforms whose folder somebody has deleted while they ran."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.lifecycle import down
from infra.local.servers.processes import MARK
from infra.local.settings import Settings


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    return settings.load({"LOCAL_DIR": str(tmp_path / ".local")})


@pytest.fixture
def server(loaded: Settings) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], env={MARK: str(loaded.directory)}) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("command", [down.down, down.clean])
def test_its_processes_are_stopped(
    command: Callable[[Settings], None], loaded: Settings, server: subprocess.Popen[bytes]
) -> None:
    loaded.create_directories()
    shutil.rmtree(loaded.directory)
    command(loaded)
    assert server.wait(timeout=5) == -15
    assert command is down.down or not loaded.directory.exists()


def test_without_processes_there_is_nothing_to_do(loaded: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    down.down(loaded)
    down.clean(loaded)
    assert capsys.readouterr().out.count("Nothing to") == 2
    assert not loaded.directory.exists()


def test_clean_still_refuses_a_folder_that_no_platform_uses(loaded: Settings) -> None:
    loaded.directory.mkdir()
    with pytest.raises(LocalError, match="not the folder of a platform"):
        down.clean(loaded)
    assert loaded.directory.exists()
