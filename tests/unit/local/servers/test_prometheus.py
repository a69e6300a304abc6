import json
from pathlib import Path

import pytest
import yaml

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.servers import prometheus
from infra.local.settings import Settings

API_URL = "https://localhost:4566/_aws/execute-api/abc/v1"


def load(folder: Path, **variables: str) -> Settings:
    loaded = settings.load({"LOCAL_DIR": str(folder / ".local"), **variables})
    loaded.create_directories()
    return loaded


def test_its_configuration_differs_from_that_for_aws_only_in_the_interval(tmp_path: Path) -> None:
    loaded = load(tmp_path, PROMETHEUS_INTERVAL="7")
    prometheus.configure(loaded)
    written = yaml.safe_load((loaded.prometheus_files / "prometheus.yml").read_text())
    assert written.pop("global") == {"scrape_interval": "7s", "scrape_timeout": "7s", "evaluation_interval": "7s"}
    original = yaml.safe_load((prometheus.SOURCE / "prometheus.yml").read_text())
    assert set(original.pop("global")) == {"scrape_interval", "scrape_timeout", "evaluation_interval"}
    assert written == original


def test_it_reads_the_token_from_the_platforms_secrets(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    prometheus.configure(loaded)
    prometheus.configure(loaded)  # every `up` does this again
    (loaded.secrets / prometheus.TOKEN).write_text("hidden")
    folder = loaded.prometheus_files
    assert (folder / prometheus.TOKEN).read_text() == "hidden"
    assert "hidden" not in (folder / "prometheus.yml").read_text()
    assert (folder / "rules" / "alerts.yml").exists()


def test_it_scrapes_the_deployed_api_or_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    file = loaded.prometheus_files / "targets.yml"
    prometheus.point(loaded, API_URL)
    assert json.loads(file.read_text()) == [
        {"targets": ["localhost:4566"], "labels": {"__metrics_path__": "/_aws/execute-api/abc/v1/metrics"}}
    ]
    prometheus.point(loaded, None)
    assert json.loads(file.read_text()) == []


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    (program := tmp_path / "prometheus").touch(mode=0o755)
    command, _ = prometheus.command(load(tmp_path, PROMETHEUS=str(program), PROMETHEUS_PORT="9099"))
    assert command[0] == str(program)
    assert "--web.listen-address=127.0.0.1:9099" in command


def test_a_path_that_is_not_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="PROMETHEUS"):
        prometheus.binary(load(tmp_path, PROMETHEUS=str(tmp_path / "nothing")))


def test_a_missing_installation_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    loaded = load(tmp_path)
    assert prometheus.binary(loaded) is None
    with pytest.raises(LocalError, match="make observe"):
        prometheus.command(loaded)
