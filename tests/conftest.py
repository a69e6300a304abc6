"""One platform for all tests that only use it. Those that start and stop platforms make their own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local import aws, environment
from tests import chromium
from tests.platforms import Platform, new_platform, prometheus

if TYPE_CHECKING:
    from playwright.sync_api import Browser

environment.isolate()
# As the template gives them to a training, but with one thread, since other tests run at the same time. OpenMP's are
# read when scikit-learn is imported, which is after this.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MLFLOW_DISABLE_TELEMETRY": "true"}
# MLflow would add the lock file of the checkout to each model. A function has none.
os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"


@pytest.fixture(autouse=True)
def environment_left_as_found() -> Iterator[None]:
    """A variable that a test leaves behind fails it, instead of a test that comes much later."""
    before = dict(os.environ)
    yield
    left = {name for name, value in os.environ.items() - before.items()} | (before.keys() - os.environ.keys())
    # pytest's own, and OpenMP's, which are set before its library is loaded and by it.
    left = {name for name in left if name != "PYTEST_CURRENT_TEST" and not name.startswith(("KMP_", "OMP_"))}
    assert not left, f"the test left changed: {', '.join(sorted(left))}"


@pytest.fixture(scope="session")
def shared_platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Running: Postgres, MLflow and LocalStack on free ports, in a temporary folder. Prometheus, where it is installed,
    only if a test of this run deploys the application, since it has nothing else to scrape."""
    folder = tmp_path_factory.mktemp("platform") / ".local"
    deploys = any("application" in getattr(item, "fixturenames", ()) for item in request.session.items)
    observer = prometheus() if deploys else None
    platform = new_platform(folder, PROMETHEUS=observer or "off", PROMETHEUS_INTERVAL="10")
    try:
        platform.run("up")
        yield platform
    finally:
        platform.run("clean")
    assert platform.processes() == []


@pytest.fixture(scope="session")
def system(shared_platform: Platform) -> Iterator[Platform]:
    """The shared platform, with this process's environment set as a function's is."""
    settings = shared_platform.settings
    variables = aws.environment(settings) | {
        "DATABASE_SECRET": "readmission/database",
        "DATABASE_TLS": "disable",
        "DATA_BUCKET": "readmission-data-000000000000",
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "MODEL_NAME": "readmission",
        "DEFAULT_SOURCE": "synthetic:rows=500",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield shared_platform


@pytest.fixture(scope="session")
def prometheus_program() -> str:
    """Prometheus; CI must have it."""
    found = prometheus()
    if not found and not os.environ.get("CI"):
        pytest.skip("Prometheus is not installed: sudo apt-get install -y --no-install-recommends prometheus")
    assert found, "Prometheus is not installed, and CI needs it"
    return found


@pytest.fixture(scope="session")
def promtool(prometheus_program: str) -> str:
    """Beside Prometheus in every package of it, or on the PATH."""
    beside = Path(prometheus_program).with_name("promtool")
    found = str(beside) if beside.exists() else shutil.which("promtool")
    assert found, f"there is no promtool beside {prometheus_program}"
    return found


@pytest.fixture(scope="session")
def diabetes_data() -> Path | None:
    """The real archive, where DIABETES_DATA names it; without it, tests use synthetic data in its place."""
    name = os.environ.get("DIABETES_DATA")
    if not name:
        return None
    path = Path(name).resolve()
    assert path.is_file(), f"DIABETES_DATA names no file: {path}"
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """CI must have it. Not for longer than a module: its event loop would be in the way of other tests' own."""
    from playwright.sync_api import sync_playwright

    program = chromium.program()
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(chromium.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*chromium.FLAGS])
        yield browser
        browser.close()


def pytest_report_header(config: Any) -> str:
    name = os.environ.get("DIABETES_DATA")
    return f"data: {name}" if name else "data: synthetic (DIABETES_DATA names no archive of the real data)"
