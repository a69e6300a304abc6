"""The runner behind `make test`."""

import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.__main__ import INTERRUPTED, PARTS, ROOT, report, run, select


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


def test_commands_beyond_the_limit_wait_for_a_free_slot(tmp_path: Path) -> None:
    program = "import sys, time; from pathlib import Path; log = Path(sys.argv[1]).open('a'); " + (
        "print('start', file=log, flush=True); time.sleep(0.3); print('end', file=log, flush=True)"
    )
    log = tmp_path / "log"
    assert run([[sys.executable, "-c", program, str(log)]] * 3, at_once=1) == 0
    assert log.read_text().split() == ["start", "end"] * 3


def test_no_test_is_left_out_and_none_runs_twice() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    paths = [path for part in PARTS.values() for path in part]
    assert set(known) <= set(paths)
    assert len(set(paths)) == len(paths) and all((ROOT / path).is_dir() for path in paths)


def test_a_package_is_selected_with_all_its_folders() -> None:
    assert select("promotion") == ["tests/integration/readmission/promotion", "tests/unit/readmission/promotion"]


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SystemExit, match=r"no tests are named 'storages'; choose one of: .*storage"):
        select("storages")


JUNIT = """<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1">
<testcase classname="tests.a" name="test_quick" time="0.1"/><testcase classname="tests.a" name="test_slow" time="12.5"/>
<testcase classname="tests.a" name="test_skipped" time="0"/></testsuite></testsuites>"""


def test_the_report_lists_the_slowest_first_and_ends_with_the_totals_of_all_parts(tmp_path: Path) -> None:
    files = [tmp_path / "one.xml", tmp_path / "two.xml", tmp_path / "interrupted.xml"]
    for file in files[:2]:
        file.write_text(JUNIT)
    lines = report(files).splitlines()
    assert lines[1] == "   12.5 s  tests.a::test_slow"
    assert lines[-1] == "2 passed, 2 failed, 2 skipped"


def test_the_end_of_the_runner_without_warning_interrupts_what_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PATIENT, str(tmp_path)]
    program = f"import sys; from tests.__main__ import run; sys.exit(run([{command!r}]))"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as process:
        _wait_for(tmp_path / "started")
        process.kill()
    _wait_for(tmp_path / "ended")


STUBBORN = """
import signal, sys, time
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_IGN)
(Path(sys.argv[1]) / "started").touch()
time.sleep(60)
"""


def test_what_does_not_heed_the_interrupt_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUBBORN, str(tmp_path)]
    program = (
        "import sys; from tests import __main__ as runner; runner._STOPPING_SECONDS = 0;"
        f"sys.exit(runner.run([{command!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as process:
        _wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == INTERRUPTED


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, f"there is no {file.name}"
        time.sleep(0.05)
