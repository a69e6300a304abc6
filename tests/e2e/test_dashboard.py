"""Real traffic reaches the platform's Prometheus by CloudWatch and the exporter, and the dashboard shows it."""

import json
import urllib.request

from tests.e2e.conftest import Application, Trained
from tests.panels import ask, empty, eventually

WITHIN_SECONDS = 150


def traffic(application: Application) -> None:
    """One of each kind that a panel counts."""
    assert application.predict().status == 200
    assert application.call("/predict", {"age_numeric": "old"}).status == 422
    assert application.call("/model/history").status == 200


def health_of_rules(url: str) -> dict[str, str]:
    """By group, place and name: `ok`, `err`, or `unknown` before its first evaluation."""
    with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    return {
        f"{group['name']} {place} {rule['name']}": rule["health"]
        for group in groups
        for place, rule in enumerate(group["rules"])
    }


def test_every_panel_and_every_rule_shows_something_of_real_traffic(
    application: Application, trained: Trained, prometheus_program: str
) -> None:
    url = application.settings.prometheus_url

    def problem() -> dict[str, str]:
        traffic(application)
        return empty(url, "5m")

    eventually(lambda: ask(url, 'up{job="readmission"}') != [1], WITHIN_SECONDS)
    eventually(problem, WITHIN_SECONDS)


def test_no_rule_fails(application: Application, prometheus_program: str) -> None:
    url = application.settings.prometheus_url
    eventually(
        lambda: {name: health for name, health in health_of_rules(url).items() if health != "ok"}, WITHIN_SECONDS
    )
    assert len(health_of_rules(url)) > 20
