"""Earlier stays of patients, read from Postgres: the same fields that the view `encounters` gives in training.

Imports pg8000 and boto3, so it is imported only where the histories of patients are looked up.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.domain.features import PATIENT_HISTORY
from readmission.errors import DatabaseUnavailable
from readmission.serving.encounters import Patient
from readmission.serving.patient_history import EarlierStays, PatientHistories
from readmission.settings import DatabaseSettings, PatientHistorySettings
from readmission.storage.database import KeptConnection, sqlstate
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import Meter

# Two searches of the index `diabetes_clean_patient` for each patient, however large the table.
# The category of the last diagnosis stands for its code: the inputs need no more of it. The sites are one text, because
# pg8000 would write a site called "null" into an array as NULL; the name of a site has no comma.
QUERY: Final = """
    SELECT earlier.prior_encounters, earlier.prior_early_readmissions, earlier.prior_days_in_hospital,
        last.time_in_hospital, last.num_lab_procedures, last.num_medications, last.number_outpatient,
        last.number_emergency, last.number_inpatient, last.number_diagnoses, CAST(last.readmitted = '<30' AS integer),
        last.discharge_disposition_id, nullif(last.diag_1_category, '?')
    FROM unnest(string_to_array(CAST(:sites AS text), ','), CAST(:patients AS bigint[]), CAST(:encounters AS bigint[]))
        WITH ORDINALITY AS asked (site, patient_nbr, encounter_id, place)
    CROSS JOIN LATERAL (
        SELECT count(*) AS prior_encounters,
            count(*) FILTER (WHERE readmitted = '<30') AS prior_early_readmissions,
            coalesce(sum(time_in_hospital), 0) AS prior_days_in_hospital
        FROM diabetes_clean
        WHERE data_kind = :data_kind AND site = asked.site AND patient_nbr = asked.patient_nbr
            AND (asked.encounter_id IS NULL OR encounter_id < asked.encounter_id)
    ) AS earlier
    LEFT JOIN LATERAL (
        SELECT * FROM diabetes_clean
        WHERE data_kind = :data_kind AND site = asked.site AND patient_nbr = asked.patient_nbr
            AND (asked.encounter_id IS NULL OR encounter_id < asked.encounter_id)
        ORDER BY encounter_id DESC LIMIT 1
    ) AS last ON true
    ORDER BY asked.place
"""


class EarlierStaysInPostgres:
    """A `patient_history.Source`. Each thread that asks keeps a connection of its own, which can only read."""

    def __init__(self, settings: DatabaseSettings, seconds: float) -> None:
        """No statement may take longer than `seconds`."""
        self._settings = settings
        self._seconds = seconds
        self._of_thread = threading.local()
        self._all: list[KeptConnection] = []

    def open(self) -> None:
        """Connect anew. Raises what `read` raises. Not to be called while another thread reads."""
        self.close()
        self._connection().read(lambda clean: clean.run("SELECT 1"))

    def close(self) -> None:
        """Close the connections of all threads. The next `read` opens another."""
        for connection in self._all:
            connection.close()

    def read(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays]:
        """The earlier stays of each patient, in this order. One query.

        Raises `DatabaseUnavailable`, also if the database is not ready for the query, as before the first run of the
        pipeline, and `ConfigurationError` if the secret with the credentials cannot be used.
        """
        try:
            return self._connection().read(lambda clean: earlier_stays(clean, data_kind, patients))
        except DatabaseError as error:
            # Its text may repeat a parameter.
            raise DatabaseUnavailable(f"database 'clean': SQLSTATE {sqlstate(error)}") from None

    def _connection(self) -> KeptConnection:
        kept: KeptConnection | None = getattr(self._of_thread, "connection", None)
        if kept is None:
            kept = KeptConnection("clean", self._settings, self._seconds, read_only=True)
            self._of_thread.connection = kept
            self._all.append(kept)
        return kept


def open_histories(settings: PatientHistorySettings, logger: Logger, meter: Meter | None = None) -> PatientHistories:
    """The histories in the database of `settings`, with a connection open if the database answers."""
    source = EarlierStaysInPostgres(settings.database, settings.seconds)
    histories = PatientHistories(source, settings.seconds, logger, meter)
    histories.open()
    return histories


def earlier_stays(clean: Connection, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays]:
    """The earlier stays of each patient, in this order."""
    rows: list[list[Any]] = clean.run(
        QUERY,
        data_kind=data_kind,
        sites=",".join(one.site for one in patients),
        patients=[one.patient_nbr for one in patients],
        encounters=[one.encounter_id for one in patients],
    )
    return [EarlierStays(row[0], dict(zip(PATIENT_HISTORY, row, strict=True))) for row in rows]
