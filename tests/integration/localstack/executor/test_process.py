import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from localstack_plugin.executor.process import RuntimeProcess

from tests.integration.localstack.server import wait_for


@pytest.fixture
def exited(tmp_path: Path) -> Iterator[RuntimeProcess]:
    """A process that has exited with 3, which nothing has noticed yet."""
    process = RuntimeProcess([sys.executable, "-c", "raise SystemExit(3)"], os.environ, tmp_path, 10)
    wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "its exit")
    yield process
    process.close()


def _returncode(process: RuntimeProcess) -> object:
    return wait_for(lambda: process.wait(1), "its return code")


def test_a_process_that_exited_has_its_return_code(exited: RuntimeProcess) -> None:
    assert _returncode(exited) == 3


def test_a_process_that_is_killed_after_it_exited_still_has_its_return_code(exited: RuntimeProcess) -> None:
    exited.kill()
    assert exited.has_exited()
    assert _returncode(exited) == 3
