import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.local import settings
from infra.local.servers import prometheus, ready
from infra.local.settings import Settings
from tests.integration.prometheus.exporter import TOKEN
from tests.leash import die_with_parent
from tests.panels import eventually
from tests.platforms import free_ports


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, prometheus_program: str) -> Iterator[Settings]:
    """Configured and started like the platform's, except that the exporter uses HTTP instead of HTTPS."""
    variables = {
        "LOCAL_DIR": str(tmp_path_factory.mktemp("observed") / ".local"),
        "PROMETHEUS": prometheus_program,
        "PROMETHEUS_PORT": str(free_ports(1)[0]),
        "PROMETHEUS_INTERVAL": "1",
    }
    loaded = settings.load(variables)
    loaded.create_directories()
    prometheus.configure(loaded)
    prometheus.point(loaded, None)
    (loaded.secrets / prometheus.TOKEN).write_text(TOKEN)
    _use_http(loaded.prometheus_files / "prometheus.yml")
    command, environment = prometheus.command(loaded)
    with (loaded.logs / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=log, stderr=log, preexec_fn=die_with_parent()
        )
    with process:
        try:
            eventually(lambda: not ready.is_ready(loaded, "prometheus"), 30)
            yield loaded
        finally:
            process.terminate()


def _use_http(configuration: Path) -> None:
    content = yaml.safe_load(configuration.read_text())
    content["scrape_configs"][0]["scheme"] = "http"
    configuration.write_text(yaml.safe_dump(content))
