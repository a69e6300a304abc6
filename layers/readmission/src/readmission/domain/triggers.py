"""What starts an execution: a person, or an event that EventBridge hands on as the execution's input.

The rules of `template.yaml` pass an event on whole, and *plan* makes a request of it. A request names its starter in
`started_by`, in `reason` why it was started, and in `event` the event's id, because EventBridge may deliver twice.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from readmission.errors import InvalidRequest

type Starter = Literal["person", "schedule", "new object", "drift"]

STARTERS: Final[tuple[Starter, ...]] = ("person", "schedule", "new object", "drift")
# Objects below it start executions, if IncomingObjects is on.
INCOMING: Final = "incoming/"
# Of the events by which the monitor says that a limit is exceeded, if RetrainOnAlert is on.
ALERT_SOURCE: Final = "readmission"
ALERT: Final = "MonitorAlert"
_ENVELOPE: Final = ("source", "detail-type", "detail")


def as_request(document: Any) -> Any:
    """The input in the form that people write it in. What is not an event of EventBridge is returned as it is.

    Raises `InvalidRequest` for an event that starts no execution, or lacks what one needs.
    """
    if not isinstance(document, Mapping) or any(name not in document for name in _ENVELOPE):
        return document
    kind = (document["source"], document["detail-type"])
    if kind == ("aws.events", "Scheduled Event"):
        request = _of_schedule(document)
    elif kind == ("aws.s3", "Object Created"):
        request = _of_object(document)
    elif kind == (ALERT_SOURCE, ALERT):
        request = _of_alert(document)
    else:
        raise InvalidRequest(
            f"the event {kind[1]!r} of {kind[0]!r} starts no execution; a schedule, a new object in S3 and"
            f" {ALERT!r} of {ALERT_SOURCE!r} do"
        )
    return request | ({"event": document["id"]} if "id" in document else {})


def _of_schedule(event: Mapping[str, Any]) -> dict[str, Any]:
    resources = event.get("resources")
    rule = resources[0] if isinstance(resources, list) and resources else "a rule"
    return {"started_by": "schedule", "reason": f"the schedule of {rule}"}


def _of_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """A delivery of `incoming/<file>`, or of `incoming/<site>/<file>`."""
    bucket = _text(event, "bucket", "name")
    key = _text(event, "object", "key")
    folders = key.removeprefix(INCOMING).split("/")[:-1]
    if not key.startswith(INCOMING) or key.endswith("/"):
        raise InvalidRequest(f"the object {key!r} starts no execution; one is a file below {INCOMING}")
    address = f"s3://{bucket}/{key}"
    site = {"site": folders[0]} if folders else {}
    return {"source": address, **site, "started_by": "new object", "reason": f"the new object {address}"}


def _of_alert(event: Mapping[str, Any]) -> dict[str, Any]:
    version = _field(event, "version")
    code, version = _text(event, "code"), str(version) if type(version) is int else _text(event, "version")
    value, limit = _number(event, "value"), _number(event, "limit")
    subject = _field(event, "subject")  # such as the input that has drifted
    about = f" ({subject})" if isinstance(subject, str) and subject else ""
    reason = f"{code}{about} of version {version}: {value:.4g}, beyond the limit of {limit:.4g}"
    return {"start_at": "train", "started_by": "drift", "reason": reason}


def _text(event: Mapping[str, Any], *path: str) -> str:
    found = _field(event, *path)
    if not isinstance(found, str) or not found:
        raise InvalidRequest(f"event field 'detail.{'.'.join(path)}' must be a text")
    return found


def _number(event: Mapping[str, Any], *path: str) -> float:
    found = _field(event, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidRequest(f"event field 'detail.{'.'.join(path)}' must be a number")
    return float(found)


def _field(event: Mapping[str, Any], *path: str) -> Any:
    found: Any = event["detail"]
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
