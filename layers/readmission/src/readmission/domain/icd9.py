"""ICD-9-CM diagnosis codes as the UCI table writes them ("428", "250.83", "V57", "E885").

The groups follow Strack et al. 2014, table 2: symptoms count towards their organ, and diabetes is a group of its own.
Their "other" is split by ICD-9 chapter. The comorbidities are ranges of codes defined by this project after the idea of
Elixhauser et al. 1998; they are as coarse as the three digits of the table.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

# The UCI table has 900 distinct codes. Requests may contain any, so the cache is bounded.
_CACHED_CODES: Final = 2048
_LEADING_ZEROS: Final = re.compile(r"\A0+(?=\d)")

# The first category of each chapter.
_CHAPTERS: Final = (
    (0, "infectious"),
    (140, "neoplasms"),
    (240, "endocrine"),
    (280, "blood"),
    (290, "mental"),
    (320, "nervous"),
    (390, "circulatory"),
    (460, "respiratory"),
    (520, "digestive"),
    (580, "genitourinary"),
    (630, "pregnancy"),
    (680, "skin"),
    (710, "musculoskeletal"),
    (740, "congenital"),
    (780, "symptoms"),
    (800, "injury"),
)
_STARTS: Final = tuple(start for start, _ in _CHAPTERS)
_ORGANS: Final = {250: "diabetes", 785: "circulatory", 786: "respiratory", 787: "digestive", 788: "genitourinary"}
GROUPS: Final = tuple(
    dict.fromkeys([*(name for _, name in _CHAPTERS), "diabetes", "external", "supplementary", "other"])
)

# Ranges of codes, without their ends.
_COMORBIDITIES: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    "has_heart_failure": ((428, 429),),
    "has_ischemic_heart_disease": ((410, 415),),
    "has_stroke": ((430, 439),),
    "has_kidney_disease": ((403, 405), (580, 589)),
    "has_chronic_lung_disease": ((490, 497),),
    "has_cancer": ((140, 210),),
    "has_liver_disease": ((570, 574),),
    "has_mental_disorder": ((290, 320),),
    "has_complicated_diabetes": ((250.1, 251),),
    "has_anemia": ((280, 286),),
    "has_fluid_disorder": ((276, 277),),
}
COMORBIDITIES: Final = tuple(_COMORBIDITIES)


def normal(code: str) -> str:
    """The code in the notation of the UCI table, without leading zeros: "008.45" → "8.45", "038" → "38"."""
    return _LEADING_ZEROS.sub("", code)


def category(code: str) -> str:
    """The part of the normal code before its decimal point: "250.83" → "250", "V57.8" → "V57", "038" → "38"."""
    return normal(code).partition(".")[0]


@lru_cache(_CACHED_CODES)
def group(code: str) -> str:
    """One of `GROUPS`; "other" if it is not an ICD-9 code."""
    if code[:1] == "V":
        return "supplementary"
    if code[:1] == "E":
        cause = _number(code[1:])
        # E031 to E799 are not in ICD-9-CM, but in ICD-10-CM (endocrine diseases).
        return "external" if cause is not None and (cause < 31 or 800 <= cause < 1000) else "other"
    number = _number(code)
    if number is None or not 0 <= number < 1000:
        return "other"
    return _ORGANS.get(int(number)) or _CHAPTERS[bisect_right(_STARTS, number) - 1][1]


def comorbidities(codes: Iterable[str]) -> dict[str, int]:
    """Each of `COMORBIDITIES`: 1 if any of the codes is in its ranges, else 0."""
    found = frozenset().union(*map(_comorbidities_of, codes))
    return {name: int(name in found) for name in COMORBIDITIES}


@lru_cache(_CACHED_CODES)
def _comorbidities_of(code: str) -> frozenset[str]:
    number = _number(code)
    if number is None:
        return frozenset()
    return frozenset(
        name for name, ranges in _COMORBIDITIES.items() if any(low <= number < high for low, high in ranges)
    )


def _number(code: str) -> float | None:
    whole, _, rest = code.partition(".")
    digits = whole + rest
    return float(code) if digits.isascii() and digits.isdigit() and whole else None
