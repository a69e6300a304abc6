"""The queue of the prediction log in SQS, with a bucket in S3 for messages that are too large for it.

Imports boto3, so it is imported only where forecasts are logged.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError
from pydantic_core import to_json

from readmission.domain.predictions import CLAIMS, MAX_MESSAGE_BYTES, FeedbackMessage, Message, claim
from readmission.errors import PredictionNotLogged
from readmission.identity.patient_key import PatientKeys
from readmission.serving.prediction_log import PredictionLog
from readmission.settings import PredictionLogSettings
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import Meter

if TYPE_CHECKING:
    from botocore.config import _RetryDict
    from mypy_boto3_s3 import S3Client

# What was open for longer may have been closed by the other end without a word, as while Lambda froze the process.
_IDLE_SECONDS: Final = 20.0


class PredictionQueue:
    """A `prediction_log.Queue`."""

    def __init__(self, settings: PredictionLogSettings, clock: Callable[[], float] = time.monotonic) -> None:
        limit = settings.seconds
        # One attempt, because a request waits: `Limited` pauses after a failure, and the next request tries again.
        once: _RetryDict = {"mode": "standard", "total_max_attempts": 1}
        self._sqs: Any = boto3.client("sqs", config=Config(connect_timeout=limit, read_timeout=limit, retries=once))
        self._s3: S3Client = boto3.client("s3", config=Config(connect_timeout=limit, read_timeout=limit, retries=once))
        self._url, self._bucket = settings.queue_url, settings.data_bucket
        self._keys = PatientKeys(settings.patient_key)
        self._clock = clock
        self._used_at = clock()

    def open(self) -> None:
        """Read the key of the patients' hashes. Raises what `PatientKeys.open` raises."""
        self._keys.open()

    def key_of(self, site: str, patient_nbr: int) -> str:
        """The hash of the patient. Raises what `open` raises."""
        return self._keys.key_of(site, patient_nbr)

    def send(self, message: Message) -> None:
        """One message in the queue; of a message that is too large, a claim. Raises `PredictionNotLogged`.

        Raises `TimeoutError` if the queue has the message, perhaps, and does not answer.
        """
        self._drop_old_connections()
        body = to_json(message)
        with _named_errors():
            if len(body) > MAX_MESSAGE_BYTES:
                key = f"{CLAIMS}{message['answered_at'][:10]}/{message['log_id']}.json"
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")
                body = to_json(claim(key))
            try:
                self._put(body.decode())
            except ReadTimeoutError:
                raise TimeoutError from None
        self._used_at = self._clock()

    def keep(self, message: FeedbackMessage) -> None:
        """One message in the queue. Raises `PredictionNotLogged`, and `TimeoutError` as `send` does."""
        self._drop_old_connections()
        with _named_errors():
            try:
                self._put(to_json(message).decode())
            except ReadTimeoutError:
                raise TimeoutError from None
        self._used_at = self._clock()

    def _put(self, body: str) -> None:
        try:
            self._sqs.send_message(QueueUrl=self._url, MessageBody=body)
        except ConnectionClosedError:
            # The other end had closed it. A message that arrives twice is recorded once.
            self._sqs.send_message(QueueUrl=self._url, MessageBody=body)

    def _drop_old_connections(self) -> None:
        if self._clock() - self._used_at > _IDLE_SECONDS:
            self._sqs.close()
            self._s3.close()


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise PredictionNotLogged(f"{error.operation_name}: {error.response['Error']['Code']}") from error
    except BotoCoreError as error:
        raise PredictionNotLogged(str(error)) from error


def open_log(settings: PredictionLogSettings, logger: Logger, meter: Meter | None = None) -> PredictionLog:
    """The prediction log of these settings, ready if its queue and the key of the hashes are."""
    log = PredictionLog(PredictionQueue(settings), settings.seconds, logger, meter)
    log.open()
    return log
