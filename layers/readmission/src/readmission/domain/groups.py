"""The groups of patients that models are compared for, and the stays that no forecast is about."""

from typing import Final

from readmission.domain.contract import ENDS_OF_CARE

GROUPS: Final = ("race", "gender")
"""The columns of the clean table that are no inputs of a model."""
ENDED: Final = tuple(sorted(code for codes in ENDS_OF_CARE.values() for code in codes))
"""Discharge dispositions after which a patient cannot be readmitted: a model trained on them would predict death."""
_AGE_BANDS: Final = ((0, 40, "under 40"), (40, 60, "40 to 59"), (60, 80, "60 to 79"), (80, 200, "80 and over"))


def age_band(age: float) -> str:
    """The band of an age in years, from 0 to 199."""
    return next(name for low, high, name in _AGE_BANDS if low <= age < high)
