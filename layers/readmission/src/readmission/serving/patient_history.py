"""The history of a patient whom a request names by number: looked up, within a time limit, and filled in.

Look-ups run in threads of their own, so that neither the event loop nor its thread pool waits for a database. Whatever
hangs there, a request waits no longer than the limit, and is then answered without the history.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.serving.encounters import Asked, Patient
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import HISTORY_LOOKUPS, Meter, NullMeter

PAUSE_SECONDS: Final = 5.0
"""After a failed look-up, one request in this time tries again; the others are answered without the history."""
_OPEN_SECONDS: Final = 3.0
# Each thread holds a connection. A query takes about a millisecond, so these answer more requests than a process can.
_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class EarlierStays:
    """The number of a patient's earlier stays, and the fields `PATIENT_HISTORY`; unknown ones are None."""

    count: int
    fields: dict[str, Any]


class Source(Protocol):
    """Knows the earlier stays of patients. Its methods block, and may be called from several threads.

    They raise `DatabaseUnavailable` or `ConfigurationError`.
    """

    def open(self) -> None:
        """Connect anew, so that the next query does not have to."""

    def read(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays]:
        """The earlier stays of each patient, in this order."""


class PatientHistories:
    """Looks up the histories of patients in `source`, each time within `seconds`."""

    def __init__(
        self,
        source: Source,
        seconds: float,
        logger: Logger,
        meter: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._logger = logger
        self._meter = meter or NullMeter()
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="patient-history")
        self._failing = False
        self._ask_again_at = 0.0

    def open(self) -> None:
        """Connect before the first request, which would have to wait for it; also after a restore from a snapshot.

        Never raises: without a connection, the first look-up opens one.
        """
        try:
            self._threads.submit(self._source.open).result(_OPEN_SECONDS)
        except (DatabaseUnavailable, ConfigurationError, TimeoutError) as error:
            self._failed(error)
        else:
            self._failing = False

    async def fill_in(self, encounters: Sequence[Asked], data_kind: str) -> None:
        """Fill in the history of each encounter that has a `patient`, and say in its `history` what was found."""
        asking = [(one, one.patient) for one in encounters if one.patient]
        if not asking:
            return
        found = await self._look_up(data_kind, [patient for _, patient in asking])
        outcomes: Counter[str] = Counter()
        for index, (encounter, patient) in enumerate(asking):
            stays = found[index] if found else None
            if stays:
                encounter.fields |= stays.fields
            status = "unavailable" if stays is None else "found" if stays.count else "not found"
            outcomes[status.replace(" ", "_")] += 1
            encounter.history = {
                "status": status,
                "earlier_stays": stays.count if stays else None,
                "stays": "all known" if patient.encounter_id is None else "before the encounter",
            }
        for outcome, number in outcomes.items():
            self._meter.count(HISTORY_LOOKUPS, number, outcome=outcome)

    async def _look_up(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays] | None:
        if not self._may_ask():
            return None
        running = asyncio.wrap_future(self._threads.submit(self._source.read, data_kind, patients))
        try:
            found = await asyncio.wait_for(running, self._seconds)
        except (DatabaseUnavailable, ConfigurationError, TimeoutError) as error:
            self._failed(error)
            return None
        self._failing = False
        return found

    def _may_ask(self) -> bool:
        """Whether a request may look up now. Called from one thread, the event loop's."""
        if not self._failing:
            return True
        now = self._clock()
        if now < self._ask_again_at:
            return False
        # The others wait for what this one finds.
        self._ask_again_at = now + PAUSE_SECONDS
        return True

    def _failed(self, error: Exception) -> None:
        self._failing = True
        self._ask_again_at = self._clock() + PAUSE_SECONDS
        what = str(error) or f"no answer within {self._seconds:g} s"
        self._logger.warning("cannot look up patients' earlier stays: %s", what)
