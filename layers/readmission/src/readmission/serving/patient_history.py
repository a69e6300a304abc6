"""The history of a patient whom a request names by number: looked up, within a time limit, and filled in.

Whatever hangs there, a request waits no longer than the limit, and is then answered without the history.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.serving.encounters import Asked, Patient
from readmission.serving.limited import Limited, Resting
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import HISTORY_LOOKUPS, Meter, NullMeter

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
        self._calls = Limited(seconds, _THREADS, "patient-history", clock)

    def open(self) -> None:
        """Connect before the first request, which would have to wait for it; also after a restore from a snapshot.

        Never raises: without a connection, the first look-up opens one.
        """
        try:
            self._calls.open(self._source.open, _OPEN_SECONDS)
        except (DatabaseUnavailable, ConfigurationError, TimeoutError) as error:
            self._failed(error)

    async def fill_in(self, encounters: Sequence[Asked], data_kind: str) -> None:
        """Fill in the history of each encounter that has a `patient`, and say in its `history` what was found."""
        asking = [(one, one.patient) for one in encounters if one.patient]
        if not asking:
            return
        found = await self._look_up(data_kind, [patient for _, patient in asking])
        outcomes: Counter[str] = Counter()
        for index, (encounter, patient) in enumerate(asking):
            status = fill_in(encounter, patient, found[index] if found else None)
            outcomes[status.replace(" ", "_")] += 1
        for outcome, number in outcomes.items():
            self._meter.count(HISTORY_LOOKUPS, number, outcome=outcome)

    async def _look_up(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays] | None:
        try:
            return await self._calls.call(lambda: self._source.read(data_kind, patients))
        except (DatabaseUnavailable, ConfigurationError, TimeoutError) as error:
            self._failed(error)
        except Resting:
            pass  # the failure has been logged
        return None

    def _failed(self, error: Exception) -> None:
        what = str(error) or f"no answer within {self._seconds:g} s"
        self._logger.warning("cannot look up patients' earlier stays: %s", what)


def fill_in(encounter: Asked, patient: Patient, stays: EarlierStays | None) -> str:
    """Fill in the history of an encounter, None if nobody answered, and say in its `history` what was found.

    Returns the status.
    """
    if stays:
        encounter.fields |= stays.fields
    status = "unavailable" if stays is None else "found" if stays.count else "not found"
    encounter.history = {
        "status": status,
        "earlier_stays": stays.count if stays else None,
        "stays": "all known" if patient.encounter_id is None else "before the encounter",
    }
    return status
