"""The forecasts of a chunk in the prediction log: written with the chunk, and once, however often it is repeated."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.bulk.results import Scored
from readmission.domain.jobs import ROUTE
from readmission.errors import NotMigrated
from readmission.pipeline import record
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer
from readmission.serving.model_cache import Served
from readmission.serving.prediction_log import Answered, message

type Hash = Callable[[str, int], str]
"""The hash by which the log knows a patient of a site; `PatientKeys.key_of`."""


def log_id(job: str) -> str:
    """The id of all forecasts of a job in the log; with a row's position it identifies one."""
    return hashlib.sha256(f"score {job}".encode()).hexdigest()[:32]


def write(
    rows: Sequence[Scored],
    job: str,
    at: str,
    served: tuple[Version, Scorer],
    clean: AbstractContextManager[Connection],
    key_of: Hash,
) -> int:
    """Write the forecasts that are not in the log yet, and return their number. `at` is when the job started.

    The position of a forecast is that of its row, from 0. Raises `DatabaseUnavailable`, and `NotMigrated` before the
    first run of the pipeline.
    """
    if not rows:
        return 0
    model = Served(*served)
    answered = [Answered(one.row - 1, one.asked, model, one.forecast["probabilities"]) for one in rows]
    found = message(job, ROUTE, answered, datetime.fromisoformat(at), key_of)
    found["log_id"] = log_id(job)
    # Through JSON, as every message comes.
    lines = record.rows_of(json.loads(json.dumps(found)))
    with clean as connection:
        try:
            return record.add(connection, lines)
        except DatabaseError as error:
            if record.is_not_migrated(error):
                raise NotMigrated("the database has no prediction log yet; run the pipeline once") from None
            raise
