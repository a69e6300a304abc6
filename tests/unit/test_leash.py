"""What ends when the tests end without their fixtures."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.local.settings import ROOT
from tests.leash import die_with_parent

# Tests that have started a process in a session of its own, with the mark that the servers of a platform have.
SERVER = """
import os, subprocess, sys
from infra.local import settings
from infra.local.servers.processes import MARK
from tests.leash import hold


folder = sys.argv[1]
settings.load({"LOCAL_DIR": folder}).create_directories()
hold({"LOCAL_DIR": folder})
server = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], MARK: folder}, start_new_session=True)
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_deleted", [False, True], ids=["with its folder", "whose folder was deleted"])
def test_a_platform_is_stopped_and_deleted_after_its_tests_were_killed(tmp_path: Path, is_deleted: bool) -> None:
    folder = tmp_path / ".local"
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as tests:
        assert tests.stdout is not None
        server = psutil.Process(int(tests.stdout.readline()))
        if is_deleted:
            shutil.rmtree(folder)
        tests.kill()
    deadline = time.monotonic() + 60
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server still runs"
        time.sleep(0.1)
    while folder.exists():
        assert time.monotonic() < deadline, "the folder is still there"
        time.sleep(0.1)


def test_a_child_of_a_background_job_can_be_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a job in the background
    try:
        child = subprocess.Popen(["sleep", "60"], preexec_fn=die_with_parent(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) == -signal.SIGINT


def test_a_platform_that_a_test_has_cleaned_up_itself_costs_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.leash"],
        cwd=ROOT,
        input=f'{{"LOCAL_DIR": "{tmp_path / "gone"}"}}\n',
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
