"""The prediction log: tells *record* which forecasts were answered, by one message for each request.

A forecast is answered whether it can be logged or not. What cannot is counted, and its request is named in the log.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Protocol
from uuid import uuid4

from readmission.domain.contract import CLASSES
from readmission.domain.features import inputs_of
from readmission.domain.predictions import (
    FORMAT,
    FORMAT_VERSION,
    AnsweredBy,
    FeedbackMessage,
    Forecast,
    Message,
    OtherForecast,
)
from readmission.errors import PredictionNotLogged, ReadmissionError
from readmission.serving.encounters import Asked
from readmission.serving.limited import Limited, Resting
from readmission.serving.model_cache import Served
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import PREDICTIONS_NOT_LOGGED, Meter, NullMeter

_OPEN_SECONDS: Final = 3.0
# Each sends one message at a time. With a queue that answers in 10 ms, these are as many as a process can answer.
_THREADS: Final = 4
# To make and send a message; a tenth of it on a laptop.
_SECONDS_EACH: Final = 0.001
# The order of the probabilities in a message.
_ORDER: Final = ("<30", ">30", "NO")
assert set(_ORDER) == set(CLASSES)


@dataclass(frozen=True, slots=True)
class Other:
    """What another version, which did not answer, said of the same encounter.

    `probabilities` are by class; None if the version failed, by the `error` of this name.
    """

    version: str
    probabilities: Mapping[str, float] | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """One encounter that was answered: the `probabilities` by class are those that `served` gave.

    `position` is that of the encounter in the request, from 0.
    """

    position: int
    asked: Asked
    served: Served
    probabilities: Mapping[str, float]
    answered_by: AnsweredBy = "production"
    other: Other | None = None


class Queue(Protocol):
    """Takes messages. Its methods block, and may be called from several threads.

    They raise a `ReadmissionError` if it cannot, and `TimeoutError` if it may have taken a message and does not say so.
    """

    def open(self) -> None:
        """Get ready, so that the next message does not have to wait for it."""

    def key_of(self, site: str, patient_nbr: int) -> str:
        """The hash by which the patient is known in the log."""

    def send(self, message: Message) -> None:
        """Returns when the message is safe."""

    def keep(self, message: FeedbackMessage) -> None:
        """Returns when the message, which must fit into the queue, is safe."""


class PredictionLog:
    """Sends what was answered to `queue`, each time within `seconds` and a millisecond for each forecast."""

    def __init__(
        self,
        queue: Queue,
        seconds: float,
        logger: Logger,
        meter: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._logger = logger
        self._meter = meter or NullMeter()
        self._calls = Limited(seconds, _THREADS, "prediction-log", clock)

    def open(self) -> None:
        """Get ready before the first request, which would have to wait for it; also after a restore from a snapshot.

        Never raises: what is missing is tried again by the first request.
        """
        try:
            self._calls.open(self._queue.open, _OPEN_SECONDS)
        except (ReadmissionError, TimeoutError) as error:
            self._logger.warning("the prediction log is not ready: %s", str(error) or "no answer in time")

    async def record(self, request_id: str, route: str, answered: Sequence[Answered]) -> None:
        """Log the forecasts of one request. Never raises: what cannot be logged is counted.

        Of forecasts that are counted as `late` nobody knows whether they were logged.
        """
        if not answered:
            return
        at = datetime.now(UTC)
        try:
            await self._calls.call(
                lambda: self._queue.send(message(request_id, route, answered, at, self._queue.key_of)),
                _SECONDS_EACH * len(answered),
            )
        except Resting:
            self._not_logged(request_id, len(answered), "paused", "a message before it could not be sent")
        except TimeoutError:
            self._not_logged(request_id, len(answered), "late", "no answer in time")
        except ReadmissionError as error:
            self._not_logged(request_id, len(answered), "failed", str(error))
        except Exception as error:
            # A fault of ours must not cost a clinician the forecast. Only its name, as its text may hold a value.
            self._not_logged(request_id, len(answered), "failed", type(error).__name__)

    async def keep(self, message: FeedbackMessage) -> None:
        """Keep feedback. Raises `PredictionNotLogged` if that is not sure, so that it is sent again."""
        try:
            await self._calls.call(lambda: self._queue.keep(message), _SECONDS_EACH * len(message["feedback"]))
        except (Resting, TimeoutError) as error:
            raise PredictionNotLogged("the queue of the prediction log does not answer in time") from error

    def _not_logged(self, request_id: str, forecasts: int, reason: str, why: str) -> None:
        self._meter.count(PREDICTIONS_NOT_LOGGED, forecasts, reason=reason)
        self._logger.warning(
            "forecasts were answered and not logged: %s",
            why,
            extra={"request_id": request_id, "forecasts": forecasts, "reason": reason},
        )


def message(
    request_id: str,
    route: str,
    answered: Sequence[Answered],
    at: datetime,
    key_of: Callable[[str, int], str],
) -> Message:
    """The message about the forecasts of one request, at least one, that were answered at this time."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "log_id": uuid4().hex,
        "request_id": request_id,
        "answered_at": at.isoformat(timespec="microseconds"),
        "route": route,
        "model_name": answered[0].served.version.name,
        "forecasts": [_forecast(one, key_of) for one in answered],
    }


def _forecast(one: Answered, key_of: Callable[[str, int], str]) -> Forecast:
    asked, version = one.asked, one.served.version
    found: Forecast = {
        "position": one.position,
        "model_version": version.number,
        "data_kind": version.data_kind,
        "answered_by": one.answered_by,
        "site": asked.site,
        "encounter_id": asked.encounter_id,
        "patient_key": None if asked.patient_nbr is None else key_of(asked.site, asked.patient_nbr),
        "history": asked.history["status"] if asked.history else None,
        "inputs": inputs_of(asked.fields),
        "probabilities": _ordered(one.probabilities),
    }
    if one.other:
        found["other"] = _other(one.other)
    return found


def _other(other: Other) -> OtherForecast:
    """A version that is broken may give what JSON and the monitor cannot use: that is an error of its own."""
    probabilities = None if other.probabilities is None else _ordered(other.probabilities)
    error = other.error
    if probabilities is not None and not all(map(isfinite, probabilities)):
        probabilities, error = None, error or "NotFinite"
    return {"version": other.version, "probabilities": probabilities, "error": error, "seconds": other.seconds}


def _ordered(probabilities: Mapping[str, Any]) -> list[float]:
    return [float(probabilities[name]) for name in _ORDER]
