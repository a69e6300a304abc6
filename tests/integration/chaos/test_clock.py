"""The clock of one process, shifted while it runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.faults.clocks import build, set_offset

# Answers each line of its input with the time, and the seconds that a wait of a tenth has taken.
PROGRAM = """
import sys, threading, time
for _ in sys.stdin:
    began = time.monotonic()
    time.sleep(0.1)
    threading.Event().wait(0.1)
    print(time.time(), time.monotonic() - began, flush=True)
"""


@pytest.mark.skipif(not shutil.which("cc") and not os.environ.get("CI"), reason="there is no C compiler")
def test_the_time_of_a_process_jumps_forwards_and_backwards_but_it_waits_as_long_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "clock"
    library = build(folder)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={"LD_PRELOAD": str(library)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        seen = []
        for offset in (0, 90_000, -90_000):
            set_offset(folder, offset)
            for _ in range(6):  # it notices within a second
                process.stdin.write("\n")
                process.stdin.flush()
                now, waited = map(float, process.stdout.readline().split())
                assert waited >= 0.2
            seen.append(now)
        process.stdin.close()
    assert [round((now - seen[0]) / 3600) for now in seen] == [0, 25, -25]
