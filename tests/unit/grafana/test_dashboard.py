"""The dashboard, checked without Grafana."""

import itertools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from readmission.telemetry.metrics import METRICS, prometheus_name

from infra.grafana import dashboard
from infra.local.settings import ROOT
from tests.panels import dashboard as board
from tests.panels import panels, queries, recorded

FOLDER = ROOT / "infra" / "grafana"


def test_the_file_is_up_to_date() -> None:
    assert dashboard.FILE.read_text() == dashboard.build(), "run: python -m infra.grafana.dashboard"


def test_panels_do_not_overlap_and_stay_on_the_page() -> None:
    places = [panel["gridPos"] for panel in board()["panels"]]
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_every_panel_has_a_unique_id() -> None:
    ids = [panel["id"] for panel in board()["panels"]]
    assert all(ids) and len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_panel_has_a_description_and_a_unit(panel: dict[str, Any]) -> None:
    assert panel["type"] in ("timeseries", "stat", "bargauge")
    assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["displayMode"] == "table"
    else:
        assert all(target["instant"] for target in panel["targets"])


def test_the_data_source_variable_defaults_to_the_provisioned_one() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    (variable,) = [one for one in board()["templating"]["list"] if one["type"] == "datasource"]
    assert source["uid"] == variable["current"]["value"] == dashboard.DATASOURCE_UID
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")


def test_every_query_uses_exported_or_recorded_series() -> None:
    kinds = {"counter": "_total", "gauge": "", "histogram": "", "summary": ""}
    exported = {f"{prometheus_name(metric)}{kinds[metric.kind]}" for metric in METRICS} | {"readmission_cloudwatch_up"}
    for query in queries("5m").values():
        names = re.findall(r"[a-z_]*:?readmission_[a-z_:0-9]+", query)
        for name in names:
            assert name in recorded() or re.sub(r"_(bucket|sum|count)$", "", name) in exported, name


def test_no_query_uses_an_increase_that_prometheus_extrapolates() -> None:
    assert [title for title, query in queries("5m").items() if re.search(r"\bincrease\(", query)] == []


def test_times_are_by_route() -> None:
    times = {title: query for title, query in queries("5m").items() if "request_duration_seconds_bucket" in query}
    assert times and all("by (route, le)" in query for query in times.values())


def test_serve_starts_grafana_on_loopback_with_the_files_of_this_folder(tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "grafana"
    binary.parent.mkdir()
    (tmp_path / "public").mkdir()
    binary.write_text('#!/bin/sh\necho "$@"\nexec env\n')
    binary.chmod(0o755)
    said = subprocess.run(
        [FOLDER / "serve", binary],
        env={"PATH": os.defpath, "LOCAL_DIR": str(tmp_path / ".local"), "PROMETHEUS_PORT": "9099"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[0] == f"server --homepath {tmp_path}"
    variables = dict(line.split("=", 1) for line in said[1:])
    assert variables["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert variables["PROMETHEUS_URL"] == "http://127.0.0.1:9099"
    assert Path(variables["DASHBOARDS"]) == FOLDER / "dashboards"
    assert Path(variables["GF_PATHS_PROVISIONING"]) == FOLDER / "provisioning"


def test_serve_says_how_to_name_grafana_if_it_is_not_found(tmp_path: Path) -> None:
    finished = subprocess.run([FOLDER / "serve", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert finished.returncode == 1 and "make grafana GRAFANA=" in finished.stderr
