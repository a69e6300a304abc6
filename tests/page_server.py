"""The pages' server, `streamlit run ui/app.py`, for tests and benchmarks."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.local import aws, stack
from infra.local.settings import ROOT, Settings
from tests.leash import die_with_parent
from tests.platforms import free_ports

_START_SECONDS = 60


def variables(settings: Settings) -> dict[str, str]:
    """What `make ui` sets: the pages show the application that is deployed there."""
    deployed = stack.get(settings)
    return aws.environment(settings) | {
        "API_URL": deployed.api_url,
        "API_KEY": deployed.api_key,
        "API_CA": str(settings.certificate),
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
    }


@contextmanager
def running(environment: Mapping[str, str], log: Path, *options: str, port: int = 0) -> Iterator[str]:
    """The URL of a new server, as soon as it answers. What it prints goes to `log`."""
    port = port or free_ports(1)[0]
    command = [sys.executable, "-m", "streamlit", "run", "ui/app.py", "--server.port", str(port), *options]
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=file, stderr=file, preexec_fn=die_with_parent()
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/_stcore/health", log)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
