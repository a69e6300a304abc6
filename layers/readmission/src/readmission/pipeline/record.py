"""Copies the messages of *predict* into the prediction log, the table `prediction` of the database `clean`.

The queue delivers a message at least once. A forecast that the log has is not written again, so each is there exactly
once, however often its message comes and wherever a copy broke off.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.domain.predictions import CLAIMS, FEEDBACK, is_ours
from readmission.errors import MessageInvalid, StorageUnavailable
from readmission.pipeline import feedback
from readmission.storage import s3
from readmission.storage.database import Rows, sqlstate, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COLUMNS: Final = (
    "log_id",
    "request_id",
    "answered_at",
    "route",
    "model_name",
    "position",
    "model_version",
    "data_kind",
    "answered_by",
    "site",
    "encounter_id",
    "patient_key",
    "history",
    "inputs",
    "p_early",
    "p_late",
    "p_none",
    "other_version",
    "other_p_early",
    "other_p_late",
    "other_p_none",
    "other_error",
    "other_seconds",
)
_NAMES: Final = ", ".join(COLUMNS)
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_NAMES} FROM prediction WITH NO DATA"
# In order, so that two copies of the same messages wait for each other, and not each for the other.
_INSERT: Final = f"""
    INSERT INTO prediction ({_NAMES}) SELECT {_NAMES} FROM staged ORDER BY log_id, position
    ON CONFLICT (log_id, position) DO NOTHING
"""
_DELETE: Final = """
    DELETE FROM prediction WHERE ctid IN (
        SELECT ctid FROM prediction
        WHERE answered_at < now() - make_interval(days => CAST(:days AS integer)) LIMIT :rows
    )
"""
# Rows that are written together: few enough for the memory of the function.
_CHUNK: Final = 5_000
_DELETED_AT_ONCE: Final = 10_000
# Classes of SQLSTATE: the data cannot be stored, or break a constraint.
_OF_THE_DATA: Final = ("22", "23")
# The table, or a column, is not there yet: this release's migrations have not run.
_NOT_MIGRATED: Final = ("42P01", "42703")
_MISSING: Final = ("NoSuchKey", "404")
_OF_MESSAGE: Final[Mapping[str, type]] = dict.fromkeys(
    ("log_id", "request_id", "answered_at", "route", "model_name"), str
)
_OF_FORECAST: Final[Mapping[str, Any]] = {
    "position": int,
    "model_version": str,
    "data_kind": str,
    "answered_by": str,
    "site": str,
    "encounter_id": int | None,
    "patient_key": str | None,
    "history": str | None,
}
_OF_OTHER: Final[Mapping[str, Any]] = {"version": str, "error": str | None, "seconds": int | float}

type Row = list[object]
"""The values of `COLUMNS`."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the queue delivers it."""

    message_id: str
    body: str


@dataclass(slots=True)
class Recorded:
    """What became of messages.

    `added` forecasts were written, `repeated` ones were there, and so much `feedback` was new. `refused` says of the
    messages with these ids why nobody can read them, and `again` why the others could not be read now. Neither repeats
    what they contain.
    """

    added: int = 0
    repeated: int = 0
    feedback: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)


def record(received: Sequence[Received], bucket: str, s3_client: "S3Client", clean: Connection) -> Recorded:
    """Write the forecasts of these messages to the prediction log, and the feedback to its table.

    Raises `pg8000`'s `DatabaseError` for what is not the fault of a message; what was written until then stays.
    """
    result = Recorded()
    waiting: dict[str, list[Row]] = {}
    for message_id, document in _read(received, bucket, s3_client, result):
        if document["format"] == FEEDBACK:
            _keep(clean, message_id, document, result)
            continue
        try:
            waiting[message_id] = rows_of(document)
        except MessageInvalid as error:
            result.refused[message_id] = str(error)
        if sum(map(len, waiting.values())) >= _CHUNK:
            _write(clean, waiting, result)
            waiting = {}
    _write(clean, waiting, result)
    return result


def is_not_migrated(error: DatabaseError) -> bool:
    """Whether the database lacks what a migration creates."""
    return sqlstate(error) in _NOT_MIGRATED


def delete_old(clean: Connection, days: int, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Delete the forecasts that were answered more than `days` days ago, and return their number; feedback, too.

    It ends early, to be continued another time, when `goes_on` says so.
    """
    deleted = 0
    while goes_on():
        clean.run(_DELETE, days=days, rows=_DELETED_AT_ONCE)
        deleted += clean.row_count
        if clean.row_count < _DELETED_AT_ONCE:
            feedback.delete_old(clean, days)
            break
    return deleted


def _read(
    received: Sequence[Received], bucket: str, s3_client: "S3Client", result: Recorded
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document of each message that can be read, by its id."""
    for one in received:
        try:
            yield one.message_id, _document(one.body, bucket, s3_client)
        except MessageInvalid as error:
            result.refused[one.message_id] = str(error)
        except StorageUnavailable as error:
            result.again[one.message_id] = str(error)


def _keep(clean: Connection, message_id: str, document: Mapping[str, Any], result: Recorded) -> None:
    """Keep the feedback of a message."""
    try:
        result.feedback += feedback.store(clean, feedback.rows_of(document))
    except MessageInvalid as error:
        result.refused[message_id] = str(error)
    except DatabaseError as error:
        if not (code := sqlstate(error)).startswith(_OF_THE_DATA):
            raise
        result.refused[message_id] = f"Postgres refuses it: SQLSTATE {code}"


def _document(body: str | bytes, bucket: str, s3_client: "S3Client") -> dict[str, Any]:
    document = _parsed(body)
    if "object" not in document:
        return document
    key = document["object"]
    if not isinstance(key, str) or not key.startswith(CLAIMS):
        raise MessageInvalid(f"the claim is not to an object below {CLAIMS}")
    try:
        with s3.reachable(bucket):
            return _parsed(s3_client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            raise MessageInvalid(f"the object {key} of the claim does not exist") from None
        raise StorageUnavailable(f"S3, object {key}: {error.response['Error']['Code']}") from error


def _parsed(body: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise MessageInvalid("it is not JSON") from None
    if not is_ours(document):
        raise MessageInvalid("it is not of a format and version that this release knows")
    found: dict[str, Any] = document
    return found


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a message. Raises `MessageInvalid`, which names the field and no value."""
    head = _fields(document, _OF_MESSAGE, "the message")
    forecasts = document.get("forecasts")
    if not isinstance(forecasts, list):
        raise MessageInvalid("forecasts is not a list")
    return [head + _forecast(one, f"forecast {index}") for index, one in enumerate(forecasts)]


def _forecast(one: Any, where: str) -> Row:
    if not isinstance(one, dict):
        raise MessageInvalid(f"{where} is not an object")
    if not isinstance(one.get("inputs"), dict):
        raise MessageInvalid(f"{where}: inputs is not an object")
    return [
        *_fields(one, _OF_FORECAST, where),
        json.dumps(one["inputs"]),
        *_probabilities(one, where),
        *_other(one.get("other"), f"{where}, other"),
    ]


def _other(other: Any, where: str) -> Row:
    if other is None:
        return [None] * 6
    if not isinstance(other, dict):
        raise MessageInvalid(f"{where} is not an object")
    version, error, seconds = _fields(other, _OF_OTHER, where)
    probabilities = [None] * 3 if other.get("probabilities") is None else _probabilities(other, where)
    return [version, *probabilities, error, seconds]


def _fields(document: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> Row:
    for name, kind in kinds.items():
        if name not in document or isinstance(document[name], bool) or not isinstance(document[name], kind):
            raise MessageInvalid(f"{where}: {name} is missing, or of a wrong type")
    return [document[name] for name in kinds]


def _probabilities(document: Mapping[str, Any], where: str) -> list[Any]:
    found = document.get("probabilities")
    if not (
        isinstance(found, list)
        and len(found) == 3
        and all(isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one) for one in found)
    ):
        raise MessageInvalid(f"{where}: probabilities are not three numbers")
    return found


def _write(clean: Connection, messages: Mapping[str, list[Row]], result: Recorded) -> None:
    """Write the rows of all messages or, if that fails because of some, those of each other message."""
    rows = [row for some in messages.values() for row in some]
    try:
        added = add(clean, rows)
    except DatabaseError as error:
        code = sqlstate(error)
        if not code.startswith(_OF_THE_DATA):
            raise
        if len(messages) == 1:
            # Its text may repeat a value.
            result.refused |= dict.fromkeys(messages, f"Postgres refuses it: SQLSTATE {code}")
            return
        for message_id, some in messages.items():
            _write(clean, {message_id: some}, result)
        return
    result.added += added
    result.repeated += len(rows) - added


def add(clean: Connection, rows: Sequence[Row]) -> int:
    """Write the rows in one transaction, and return how many were new."""
    if not rows:
        return 0
    staged = Rows()
    for row in rows:
        staged.add(row)
    with transaction(clean):
        clean.run(_STAGE)
        staged.copy_into(clean, "staged", COLUMNS)
        clean.run(_INSERT)
        added: int = clean.row_count
    return added
