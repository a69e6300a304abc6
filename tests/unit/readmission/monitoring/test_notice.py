"""Which alert EventBridge gets."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from readmission.errors import EventNotSent
from readmission.monitoring import notice


def alert(code: str) -> dict[str, Any]:
    return {"code": code, "subject": "x", "value": 0.5, "limit": 0.2, "what_to_do": "look"}


def window(version: str, *codes: str, newest: bool = True) -> dict[str, Any]:
    return {"name": "w", "version": version, "newest": newest, "alerts": [alert(code) for code in codes]}


def document(*windows: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": "readmission", "version": "3", "windows": list(windows)}


def test_the_most_serious_alert_about_the_version_in_production_is_told() -> None:
    told = notice.of(document(window("3", "input_drift", "realised_quality", "missing")), "stack")
    assert told == {
        "stack": "stack",
        "model_name": "readmission",
        "version": "3",
        "window": "w",
        "code": "realised_quality",
        "subject": "x",
        "value": 0.5,
        "limit": 0.2,
    }


@pytest.mark.parametrize(
    "found",
    [
        window("2", "input_drift"),
        window("3", "input_drift", newest=False),
        window("3", "delivery_quality"),
        window("3"),
    ],
    ids=["another version", "an older window", "training does not help", "no alert"],
)
def test_nothing_is_told_of_what_training_does_not_help_against(found: dict[str, Any]) -> None:
    assert notice.of(document(found), "stack") is None


class Bus:
    def __init__(self, answer: Any) -> None:
        self.answer, self.entries = answer, [dict[str, str]()]

    def put_events(self, Entries: list[dict[str, str]]) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.entries = Entries
        return self.answer


def send(monkeypatch: pytest.MonkeyPatch, bus: Bus) -> None:
    monkeypatch.setattr(notice.boto3, "client", lambda name, config: bus)
    notice.send({"code": "input_drift"})


def test_the_event_has_the_source_and_the_type_that_rules_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
    send(monkeypatch, bus)
    assert bus.entries == [{"Source": "readmission", "DetailType": "MonitorAlert", "Detail": '{"code": "input_drift"}'}]


@pytest.mark.parametrize(
    "answer",
    [EndpointConnectionError(endpoint_url="x"), {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}],
    ids=["no way to it", "refused"],
)
def test_an_event_that_is_not_taken_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    with pytest.raises(EventNotSent):
        send(monkeypatch, Bus(answer))
