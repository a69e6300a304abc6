"""Prometheus on this machine: the configuration of infra/prometheus with local overrides.

Its folder links to the rules and to the exporter's token, so the configuration contains no secret. The API's address is
in `targets.yml`, which Prometheus reloads when it changes, so a deployment needs no restart.
"""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from infra.local import files
from infra.local.errors import LocalError
from infra.local.settings import ROOT, Settings

SOURCE = ROOT / "infra" / "prometheus"
TOKEN = "metrics-token"
RETENTION = "30d"


def binary(settings: Settings) -> str | None:
    """The program's path; None if it is not installed. Raises LocalError if PROMETHEUS does not name a program."""
    found = shutil.which(settings.prometheus or "prometheus")
    if settings.prometheus and not found:
        raise LocalError(f"PROMETHEUS: {settings.prometheus} is not an executable program.")
    return found


def command(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Its command line and extra environment variables. Raises LocalError if it is not installed."""
    program = binary(settings)
    if not program:
        raise LocalError("Prometheus is not installed. To install and start it: make observe")
    return [
        program,
        f"--config.file={settings.prometheus_files / 'prometheus.yml'}",
        f"--storage.tsdb.path={settings.prometheus_files / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address=127.0.0.1:{settings.prometheus_port}",
        # The exporter has LocalStack's self-signed certificate. On AWS the system's authorities are enough.
    ], {"SSL_CERT_FILE": str(settings.certificate)}


def configure(settings: Settings) -> None:
    """Writes everything in its folder except the target."""
    folder = settings.prometheus_files
    configuration = yaml.safe_load((SOURCE / "prometheus.yml").read_text())
    for setting in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        configuration["global"][setting] = f"{settings.prometheus_interval}s"
    files.write(folder / "prometheus.yml", yaml.safe_dump(configuration))
    _link(folder / "rules", SOURCE / "rules")
    _link(folder / TOKEN, settings.secrets / TOKEN)


def point(settings: Settings, api_url: str | None) -> None:
    """Makes it scrape this API, or nothing without a URL."""
    targets = []
    if api_url:
        url = urlsplit(api_url)
        targets = [{"targets": [url.netloc], "labels": {"__metrics_path__": f"{url.path}/metrics"}}]
    files.write(settings.prometheus_files / "targets.yml", json.dumps(targets, indent=1))


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
