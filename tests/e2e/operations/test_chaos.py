"""`make chaos` against the deployed stack, shortly. Runs last: after it, other tests would count its data, too."""

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.local.settings import ROOT
from tests.e2e.conftest import Application, Trained

FAULTS = {"full-disk", "kill-predict", "poison-inputs"}


def test_the_promises_hold_under_a_full_disk_a_killed_process_and_poisoned_inputs(
    application: Application, trained: Trained, tmp_path: Path
) -> None:
    table = tmp_path / "chaos.json"
    options = ["--seed", "1", "--only", ",".join(sorted(FAULTS)), "--json", str(table)]
    # The data of these tests may be real.
    finished = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *options, "--force"],
        cwd=ROOT,
        env=os.environ | application.platform.variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads(table.read_text())
    assert {one["fault"] for one in found["faults"]} == FAULTS
    assert all(one["held"] and one["seconds_to_recover"] is not None for one in found["faults"])
    assert found["not_run"] == []
    assert "3 faults, 3 promises held, 0 broken. Repeat with SEED=1" in finished.stdout
