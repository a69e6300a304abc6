"""`make load-test` against the deployed stack, shortly."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from infra.local.settings import ROOT
from tests.e2e.conftest import Application, Trained


def test_the_load_test_reports_requests_without_a_failure(
    application: Application, trained: Trained, tmp_path: Path
) -> None:
    users = ["--max-users", "2", "--step", "2", "--think", "0.1"]
    times = ["--settle", "1", "--hold", "3", "--repeats", "1", "--p95-ms", "100000"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.load", *users, *times, "--out", str(tmp_path)],
        cwd=ROOT,
        env=environment | application.platform.variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert {file.name for file in tmp_path.iterdir()} == {
        *("load.md", "load.csv", "load.png", "load.html"),
        "locust.html",
    }
    with (tmp_path / "load.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["confirms"] for row in rows] == ["False", "True"]
    assert all(int(row["requests"]) > 0 and row["failures"] == "0" for row in rows)
    assert "Sustained within the objective" in finished.stdout
