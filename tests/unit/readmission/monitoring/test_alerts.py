"""The alerts about a delivery's quality, and that each alert says what to do."""

from typing import get_args

from readmission.monitoring import alerts
from readmission.monitoring.alerts import Alert, Code
from readmission.settings import MonitorLimits

LIMITS = MonitorLimits()


def test_every_alert_says_what_to_do() -> None:
    for code in get_args(Code.__value__):
        assert len(Alert(code, "x", 1, 0).as_json()["what_to_do"]) > 50


def test_a_delivery_with_more_invalid_rows_than_before_alerts_and_chance_does_not() -> None:
    assert [one.subject for one in alerts.of_delivery(0.03, 5000, 0.001, [], LIMITS)] == ["invalid rows"]
    assert list(alerts.of_delivery(0.005, 5000, 0.001, [], LIMITS)) == []
    assert list(alerts.of_delivery(0.03, 100, 0.001, [], LIMITS)) == []


def test_the_first_delivery_of_a_site_is_compared_with_nothing() -> None:
    assert list(alerts.of_delivery(0.5, 5000, None, [], LIMITS)) == []


def test_columns_that_the_check_found_different_are_named() -> None:
    (alert,) = alerts.of_delivery(0, 5000, 0, ["payer_code", "race"], LIMITS)
    assert (alert.code, alert.subject, alert.value) == ("delivery_quality", "columns: payer_code, race", 2)
