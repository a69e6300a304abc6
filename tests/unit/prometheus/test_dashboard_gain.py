"""What a counter gained, as the dashboard's queries compute it: exactly, whenever Prometheus and its series began."""

import json
from pathlib import Path

import pytest

from infra.grafana import dashboard
from tests.unit.prometheus.test_rules import run

COUNTER = "readmission_predictions_total"
UP = "readmission_cloudwatch_up"


def _gains(promtool: str, folder: Path, expected: dict[str, float], **series: str) -> None:
    """Have promtool compare the gains of the last hour, scraped each minute and asked at 1 h, by model version."""
    path = folder / "gain.json"
    samples = [{"labels": f'{{model_version="{version}"}}', "value": value} for version, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": dashboard._increase(COUNTER, "model_version", "1h"),
                "eval_time": "2h",
                "exp_samples": samples,
            }
        ],
    }
    path.write_text(json.dumps({"tests": [test]}))  # JSON is YAML
    run(promtool, "test", "rules", path)


def _of(version: str, instance: str = "a") -> str:
    return f'{COUNTER}{{model_version="{version}", instance="{instance}"}}'


def _up(instance: str = "a") -> str:
    return f'{UP}{{instance="{instance}"}}'


def test_a_series_that_was_there_before_the_window_gained_the_difference(promtool: str, tmp_path: Path) -> None:
    _gains(promtool, tmp_path, {"1": 5}, **{_up(): "1x120", _of("1"): "100x90 105x29"})


def test_a_new_series_began_at_0(promtool: str, tmp_path: Path) -> None:
    _gains(promtool, tmp_path, {"1": 9}, **{_up(): "1x120", _of("1"): "_x90 7x10 9x18"})


def test_what_the_first_scrape_of_a_new_prometheus_found_had_been_there(promtool: str, tmp_path: Path) -> None:
    _gains(promtool, tmp_path, {"1": 5}, **{_up(): "_x79 1x40", _of("1"): "_x79 100x20 105x19"})


def test_a_series_that_came_after_the_first_scrape_of_a_new_prometheus_began_at_0(
    promtool: str, tmp_path: Path
) -> None:
    series = {_up(): "_x79 1x40", _of("1"): "_x79 100x20 105x19", _of("2"): "_x99 7x10 9x9"}
    _gains(promtool, tmp_path, {"1": 5, "2": 9}, **series)


def test_scrapes_before_cloudwatch_answered_found_nothing(promtool: str, tmp_path: Path) -> None:
    _gains(promtool, tmp_path, {"1": 5}, **{_up(): "_x79 0x4 1x35", _of("1"): "_x84 100x20 105x14"})


def _replica(name: str, instance: str) -> str:
    return f'{COUNTER}{{model_version="1", instance="{instance}", replica="{name}"}}'


@pytest.mark.parametrize("ups", [{_up(): "1x120"}, {}], ids=["with the exporter", "without"])
def test_the_replicas_of_a_process_add_up_also_those_that_have_ended(
    promtool: str, tmp_path: Path, ups: dict[str, str]
) -> None:
    """Of three replicas, one goes on, one ends within the window, and one takes its place and its address."""
    series = {
        _replica("a-1", "10.0.0.1"): "100x90 105x29",
        _replica("b-1", "10.0.0.2"): "200x70 230x10 _x39",
        _replica("b-2", "10.0.0.2"): "_x85 0x4 9x30",
    }
    _gains(promtool, tmp_path, {"1": 5 + 30 + 9}, **ups, **series)


@pytest.mark.parametrize(("version", "expected"), [("1", 6), ("2", 9)], ids=["there before", "new"])
def test_an_exporter_that_moves_does_not_change_what_a_new_prometheus_counts(
    promtool: str, tmp_path: Path, version: str, expected: float
) -> None:
    """The second series begins while the first instance runs; the other instance finds it in its first scrape."""
    first, second = ("_x79 100x19", "_x99 103x10 106x9") if version == "1" else ("_x89 7x9", "_x99 7x10 9x9")
    ups = {_up("a"): "_x79 1x19", _up("b"): "_x99 1x20"}
    _gains(promtool, tmp_path, {version: expected}, **ups, **{_of(version, "a"): first, _of(version, "b"): second})
