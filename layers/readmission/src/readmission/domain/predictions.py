"""The messages by which *predict* tells *record* which forecasts it has answered, and what was done about them.

They are JSON, one for each request.

A message that would be too large lies in S3, and what is sent in its place is a claim to that object.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

FORMAT: Final = "readmission-predictions"
FEEDBACK: Final = "readmission-feedback"
FORMAT_VERSION: Final = 1
FEEDBACK_OUTCOMES: Final = ("accepted", "overridden", "contacted")
"""What somebody may have done about a forecast; CDS Hooks knows the first two."""
MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Of a message in the queue. SQS bills each 64 KiB, and a batch of messages must fit into 6 MB, Lambda's limit."""
CLAIMS: Final = "predictions/"
"""The prefix of the claimed objects."""

type AnsweredBy = Literal["production", "canary"]


class OtherForecast(TypedDict):
    """What another version said of the same encounter. `probabilities` are those of `Forecast`; None if it failed."""

    version: str
    probabilities: list[float] | None
    error: str | None
    seconds: float


class Forecast(TypedDict):
    """One answered encounter.

    `position` is that in the request. `probabilities` are those of the classes <30, >30 and NO. `inputs` are all inputs
    of the models by name. `patient_key` is `identity.patient_key`. What was not given is None.
    """

    position: int
    model_version: str
    data_kind: str
    answered_by: AnsweredBy
    site: str
    encounter_id: int | None
    patient_key: str | None
    history: str | None
    inputs: dict[str, int | float | str | None]
    probabilities: list[float]
    other: NotRequired[OtherForecast]


class Message(TypedDict):
    """The forecasts of one request.

    `log_id` is new for every request: clients choose `request_id`, and may choose the same one twice. `answered_at` is
    in ISO 8601, UTC.
    """

    format: str
    format_version: int
    log_id: str
    request_id: str
    answered_at: str
    route: str
    model_name: str
    forecasts: list[Forecast]


class Claim(TypedDict):
    """Stands in the queue for the `Message` in the object with this key."""

    format: str
    format_version: int
    object: str


class Feedback(TypedDict):
    """What somebody did about a forecast.

    `request_id` is that of the forecast, which a card has as its uuid; `position` that of the encounter in a batch.
    `outcome` is accepted, overridden or contacted, at `outcome_at` (ISO 8601, UTC). What was not given is None.
    """

    request_id: str
    position: int
    outcome: str
    outcome_at: str
    reason_code: str | None
    reason: str | None
    by: str | None


class FeedbackMessage(TypedDict):
    """The feedback of one request."""

    format: str
    format_version: int
    received_at: str
    route: str
    feedback: list[Feedback]


def claim(key: str) -> Claim:
    """The claim to the object with this key."""
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "object": key}


def is_ours(document: Any) -> bool:
    """Whether this is a message or a claim that this release can read."""
    return (
        isinstance(document, dict)
        and document.get("format") in (FORMAT, FEEDBACK)
        and document.get("format_version") == FORMAT_VERSION
    )
