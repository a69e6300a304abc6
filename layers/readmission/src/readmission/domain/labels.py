"""When a label is the truth about a forecast.

`<30` is known as soon as the patient is back. "NO" is not known before 30 days after the discharge: until then, it only
says "not yet".
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from readmission.domain.contract import LABEL_DUE_DAYS

EARLY: Final = "<30"


def is_due(readmitted: str, known_at: datetime, discharged_on: date, due_days: int = LABEL_DUE_DAYS) -> bool:
    """Whether the label answers the question whether the patient came back within 30 days.

    `known_at`, with a time zone, is when the label came. The arguments are the columns of the view `forecast_outcome`.
    """
    return readmitted == EARLY or known_at.astimezone(UTC).date() >= discharged_on + timedelta(days=due_days)
