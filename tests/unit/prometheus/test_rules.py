"""promtool's checks of infra/prometheus, and what promtool does not check."""

import os
import subprocess

import yaml

from infra.local.servers.prometheus import SOURCE


def run(promtool: str, *arguments: object) -> None:
    finished = subprocess.run(
        [promtool, *map(str, arguments)], env=os.environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load((SOURCE / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_configuration_and_rules_are_valid(promtool: str) -> None:
    run(promtool, "check", "config", "--syntax-only", SOURCE / "prometheus.yml")
    run(promtool, "check", "rules", *sorted(SOURCE.glob("rules/*.yml")))


def test_the_rules_pass_their_tests(promtool: str) -> None:
    run(promtool, "test", "rules", *sorted(SOURCE.glob("tests/*.yml")))


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = "".join(file.read_text() for file in SOURCE.glob("tests/*.yml"))
    for name in (alert["alert"] for alert in alerts()):
        assert f'{{alertname="{name}", alertstate="firing"}}' in tests, name
        assert f"""'ALERTS{{alertname="{name}"}}', exp_samples: []}}""" in tests, name


def test_every_alert_has_a_summary_a_description_and_a_severity() -> None:
    for alert in alerts():
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]
        assert alert["labels"]["severity"] in ("warning", "critical"), alert["alert"]
