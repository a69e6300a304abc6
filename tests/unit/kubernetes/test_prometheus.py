"""Prometheus in the cluster: its files, as the pod mounts them, and what it scrapes."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.kubernetes.manifests import OVERLAYS
from tests.unit.kubernetes.rendered import named, of_kind, pod

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def mounted(overlay: str) -> dict[str, str]:
    """The files of /etc/prometheus by their paths."""
    (volume,) = [
        one for one in pod(named(overlay, "StatefulSet", "prometheus"))["volumes"] if one["name"] == "configuration"
    ]
    files = {}
    for source in (one["configMap"] for one in volume["projected"]["sources"]):
        data = named(overlay, "ConfigMap", source["name"])["data"]
        paths = {item["key"]: item["path"] for item in source.get("items", ())} or {key: key for key in data}
        files |= {path: data[key] for key, path in paths.items()}
    return files


@each_overlay
def test_prometheus_accepts_its_configuration_and_the_rules(overlay: str, promtool: str, tmp_path: Path) -> None:
    for path, text in mounted(overlay).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@each_overlay
def test_prometheus_scrapes_the_exporter_once_and_every_pod_of_the_api(overlay: str) -> None:
    jobs: dict[str, Any] = {
        job["job_name"]: job for job in yaml.safe_load(mounted(overlay)["prometheus.yml"])["scrape_configs"]
    }
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(overlay, "Service")}
    # The alerts watch this job.
    (target,) = jobs["readmission"]["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    assert int(port) == services[name]["ports"][0]["port"]
    (found,) = jobs["readmission-api"]["dns_sd_configs"]
    (name,) = found["names"]
    # Without an address of its own, the name stands for all pods, also for those that are not ready.
    assert services[name]["clusterIP"] == "None" and services[name]["publishNotReadyAddresses"] is True
    (container,) = pod(named(overlay, "Deployment", "api"))["containers"]
    assert {"name": "METRICS_PORT", "value": str(found["port"])} in container["env"]
    assert {"name": "metrics", "containerPort": found["port"]} in container["ports"]
