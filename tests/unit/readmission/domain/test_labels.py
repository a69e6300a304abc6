from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from readmission.domain.labels import is_due

DISCHARGED = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("readmitted", "days", "due"),
    [("<30", 0, True), ("NO", 29, False), ("NO", 30, True), (">30", 29, False), (">30", 45, True)],
)
def test_an_early_readmission_is_known_at_once_and_anything_else_after_30_days(
    readmitted: str, days: int, due: bool
) -> None:
    known_at = datetime(2026, 3, 1, 8, tzinfo=UTC) + timedelta(days=days)
    assert is_due(readmitted, known_at, DISCHARGED) is due


def test_a_hospital_may_wait_longer() -> None:
    known_at = datetime(2026, 4, 15, tzinfo=UTC)
    assert is_due("NO", known_at, DISCHARGED, 45) and not is_due("NO", known_at, DISCHARGED, 46)


def test_the_day_is_that_of_utc() -> None:
    """Just after midnight east of Greenwich."""
    known_at = datetime(2026, 3, 31, 1, tzinfo=timezone(timedelta(hours=2)))
    assert not is_due("NO", known_at, DISCHARGED)
