from typing import Any

import pytest
from readmission.domain.payloads import parse_request
from readmission.domain.triggers import as_request
from readmission.errors import InvalidRequest

# As EventBridge's documentation shows them.
SCHEDULED = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2015-10-08T16:53:06Z",
    "region": "us-east-1",
    "resources": ["arn:aws:events:us-east-1:123456789012:rule/readmission-schedule"],
    "detail": {},
}
CREATED = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0",
        "bucket": {"name": "amzn-s3-demo-bucket1"},
        "object": {"key": "incoming/north/day 1.csv", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184"},
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "1.2.3.4",
        "reason": "PutObject",
    },
}
ALERTED = {
    "id": "e-3",
    "detail-type": "MonitorAlert",
    "source": "readmission",
    "resources": [],
    "detail": {"stack": "readmission", "code": "input_drift", "version": "3", "value": 0.3125, "limit": 0.2},
}


def created(key: Any) -> dict[str, Any]:
    return {**CREATED, "detail": {**CREATED["detail"], "object": {"key": key, "size": 5}}}  # type: ignore[dict-item]


def alerted(**changes: Any) -> dict[str, Any]:
    return {**ALERTED, "detail": {**ALERTED["detail"], **changes}}  # type: ignore[dict-item]


def test_what_people_write_is_left_as_it_is() -> None:
    for document in ({"source": "s3://a/b"}, {}, [1], "text", None, {"source": "aws.s3", "detail-type": "x"}):
        assert as_request(document) == document


def test_a_schedule_starts_a_whole_run_of_the_default_source() -> None:
    found = parse_request(SCHEDULED)
    assert (found.source, found.start_at, found.stop_after) == (None, "ingest", "promote")
    assert (found.started_by, found.actor, found.event) == ("schedule", "schedule", SCHEDULED["id"])
    assert found.reason == "the schedule of arn:aws:events:us-east-1:123456789012:rule/readmission-schedule"


@pytest.mark.parametrize(
    ("key", "site"),
    [("incoming/day.csv", "default"), ("incoming/north/day 1.csv", "north"), ("incoming/north/2026/a.zip", "north")],
)
def test_a_new_object_is_a_delivery_of_the_site_that_its_folder_names(key: str, site: str) -> None:
    found = parse_request(created(key))
    address = f"s3://amzn-s3-demo-bucket1/{key}"
    assert (found.source, found.site, found.started_by) == (address, site, "new object")
    assert (found.actor, found.reason) == ("new object", f"the new object {address}")


def test_an_alert_of_the_monitor_starts_a_training_and_is_its_reason() -> None:
    found = parse_request(ALERTED)
    assert (found.start_at, found.started_by, found.actor, found.event) == ("train", "drift", "drift", "e-3")
    assert found.reason == "input_drift of version 3: 0.3125, beyond the limit of 0.2"
    assert parse_request(alerted(version=3)).reason == found.reason
    drifted = parse_request(alerted(subject="payer_code")).reason
    assert drifted == "input_drift (payer_code) of version 3: 0.3125, beyond the limit of 0.2"


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (created("sources/day.csv"), "'sources/day.csv' starts no execution"),
        (created("incoming/north/"), "'incoming/north/' starts no execution"),
        (created(""), "'detail.object.key'"),
        (created(None), "'detail.object.key'"),
        ({**CREATED, "detail": {}}, "'detail.bucket.name'"),
        ({**CREATED, "detail": None}, "'detail.bucket.name'"),
        (created("incoming/North/day.csv"), "input field 'site'"),
        (alerted(value="0.3"), "'detail.value'"),
        (alerted(limit=True), "'detail.limit'"),
        (alerted(code=""), "'detail.code'"),
        (alerted(version=None), "'detail.version'"),
        ({**CREATED, "detail-type": "Object Deleted"}, "'Object Deleted' of 'aws.s3' starts no execution"),
        ({**ALERTED, "source": "somebody"}, "'MonitorAlert' of 'somebody' starts no execution"),
        ({**SCHEDULED, "id": 5}, "input field 'event'"),
    ],
)
def test_an_event_that_starts_nothing_or_lacks_something_is_named(event: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(event)
    assert says in str(refused.value)
