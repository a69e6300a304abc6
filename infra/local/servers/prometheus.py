"""Prometheus on this machine: the configuration of infra/prometheus, and beside it what differs here.

Its folder holds links to the rules and to the exporter's token, so no secret is in the configuration. Where the API is
stands in `targets.yml`, which Prometheus reads again whenever it changes: a deploy needs no restart.
"""

import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from infra.local.errors import LocalError
from infra.local.settings import ROOT, Settings

SOURCE = ROOT / "infra" / "prometheus"
TOKEN = "metrics-token"
RETENTION = "30d"


def binary(settings: Settings) -> str | None:
    """None where it is not installed. Raises LocalError when PROMETHEUS names something else than a program."""
    found = shutil.which(settings.prometheus or "prometheus")
    if settings.prometheus and not found:
        raise LocalError(f"PROMETHEUS: {settings.prometheus} is no program that can be run.")
    return found


def command(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Raises LocalError where it is not installed."""
    program = binary(settings)
    if not program:
        raise LocalError("Prometheus is not installed. Install and start it: make observe")
    return [
        program,
        f"--config.file={settings.prometheus_files / 'prometheus.yml'}",
        f"--storage.tsdb.path={settings.prometheus_files / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address=127.0.0.1:{settings.prometheus_port}",
        # The exporter's certificate is the emulator's; on AWS the system's authorities know it.
    ], {"SSL_CERT_FILE": str(settings.certificate)}


def configure(settings: Settings) -> None:
    """Writes its folder, but for the target."""
    folder = settings.prometheus_files
    configuration = yaml.safe_load((SOURCE / "prometheus.yml").read_text())
    for setting in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        configuration["global"][setting] = f"{settings.prometheus_interval}s"
    _write(folder / "prometheus.yml", yaml.safe_dump(configuration))
    _link(folder / "rules", SOURCE / "rules")
    _link(folder / TOKEN, settings.secrets / TOKEN)


def point(settings: Settings, api_url: str | None) -> None:
    """Has it scrape this API; nothing when there is none."""
    targets = []
    if api_url:
        url = urlsplit(api_url)
        targets = [{"targets": [url.netloc], "labels": {"__metrics_path__": f"{url.path}/metrics"}}]
    _write(settings.prometheus_files / "targets.yml", json.dumps(targets, indent=1))


def _write(path: Path, text: str) -> None:
    """At once: Prometheus may read it meanwhile."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
