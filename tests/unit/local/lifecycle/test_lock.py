import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.local import settings
from infra.local.lifecycle.lock import only_one
from infra.local.settings import ROOT

HOLDER = """
import sys
from infra.local import settings
from infra.local.lifecycle.lock import only_one

with only_one(settings.load()):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_waiting_command_names_the_holder_and_continues_when_that_dies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = os.environ | {"LOCAL_DIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        dies = threading.Timer(1, holder.kill)  # by then, this process waits for the lock
        dies.start()
        with only_one(settings.load({"LOCAL_DIR": str(tmp_path)})):
            assert f"(pid {holder.pid})" in capsys.readouterr().out
        dies.join()


def test_a_command_that_waited_for_clean_gets_the_new_folder(tmp_path: Path) -> None:
    loaded = settings.load({"LOCAL_DIR": str(tmp_path / ".local")})
    with only_one(loaded):
        (loaded.run / "lock").unlink()
        with only_one(loaded):
            assert (loaded.run / "lock").read_text() == str(os.getpid())
