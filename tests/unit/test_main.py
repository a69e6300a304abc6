"""The two processes of `make test`."""

import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.__main__ import ASIDE, INTERRUPTED, REST, ROOT, run


def command(*prints: str, code: int = 0) -> Sequence[str]:
    text = "\n".join(prints)
    return sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"


PASSED = command("10 passed")
FAILED = command("dots", "== short test summary info ==", "FAILED one", "1 failed", code=1)


def test_what_passes_is_printed_one_after_the_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([PASSED, command("20 passed")]) == 0
    assert capfd.readouterr().out == "10 passed\n20 passed\n"


@pytest.mark.parametrize("commands", [(FAILED, PASSED), (PASSED, FAILED)], ids=["first", "last"])
def test_the_summary_of_what_failed_comes_last(
    capfd: pytest.CaptureFixture[str], commands: Sequence[Sequence[str]]
) -> None:
    assert run(commands) == 1
    assert capfd.readouterr().out.endswith("== short test summary info ==\nFAILED one\n1 failed\n")


def test_each_summary_is_there_when_both_fail(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([FAILED, command("no such option", code=4)]) == 1
    assert capfd.readouterr().out.endswith("FAILED one\n1 failed\n\nno such option\n")


PATIENT = """
import sys, time
from pathlib import Path

folder = Path(sys.argv[1])
try:
    (folder / "started").touch()
    time.sleep(60)
finally:
    (folder / "ended").touch()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_in_their_own_time(tmp_path: Path, number: int) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    commands = [[sys.executable, "-c", PATIENT, str(folder)] for folder in folders]
    program = f"import sys; from tests.__main__ import run; sys.exit(run({commands!r}))"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as process:
        deadline = time.monotonic() + 30
        while not all((folder / "started").exists() for folder in folders):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=30) == INTERRUPTED
    assert all((folder / "ended").exists() for folder in folders)


def test_no_folder_of_tests_is_left_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    assert set(known) <= {*ASIDE, *REST}
    assert all((ROOT / folder).is_dir() for folder in (*ASIDE, *REST))
