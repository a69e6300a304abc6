"""What the values of some rows look like, as counts and sums: two profiles can be added up, and compared.

A profile names no patient. A value of a free text that fewer than `RAREST` rows of a batch have may be anything that
was typed into the field, and is counted as `OTHER`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypedDict

from readmission.domain.contract import COLUMNS, MISSING, IntegerRange, OneOf, Text

RAREST: Final = 10
OTHER: Final = "(other)"
# Numbers that stand for a patient, or for a category.
_NO_QUANTITIES: Final = ("encounter_id", "patient_nbr")
_CODES: Final = ("admission_type_id", "discharge_disposition_id", "admission_source_id")
NUMBERS: Final = tuple(
    name for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange) and name not in (*_NO_QUANTITIES, *_CODES)
)
CATEGORIES: Final = tuple(name for name, rule in COLUMNS.items() if isinstance(rule, OneOf | Text) or name in _CODES)
# Conventional limits: a standardized mean difference (Stuart 2010) and a population stability index that call for a
# look, and a share of rows.
_NOTABLE_DIFFERENCE: Final = 0.25
_NOTABLE_INDEX: Final = 0.25
_NOTABLE_SHARE: Final = 0.1


class Moments(TypedDict):
    """Of a number: the sum of its values, and of their squares."""

    sum: int
    squares: int


class Profile(TypedDict):
    """Of `rows` rows: the moments of each number, and how many rows have each value of each category, and no value."""

    rows: int
    numbers: dict[str, Moments]
    categories: dict[str, dict[str, int]]
    missing: dict[str, int]


def profile_of(columns: Mapping[str, Sequence[str]]) -> Profile:
    """The profile of valid rows, given by column."""
    numbers, categories = {}, {}
    for name in NUMBERS:
        counts = [(int(value), count) for value, count in Counter(columns[name]).items()]
        numbers[name] = Moments(
            sum=sum(value * count for value, count in counts),
            squares=sum(value * value * count for value, count in counts),
        )
    for name in CATEGORIES:
        found = Counter(columns[name])
        if isinstance(COLUMNS[name], Text):
            found = _without_rare(found)
        categories[name] = dict(sorted(found.items()))
    missing = {name: columns[name].count(MISSING) for name in COLUMNS}
    return Profile(rows=len(columns["readmitted"]), numbers=numbers, categories=categories, missing=missing)


def add_up(profiles: Iterable[Profile]) -> Profile:
    """The profile of all rows together."""
    rows = 0
    sums, squares, missing = Counter[str](), Counter[str](), Counter[str]()
    categories = {name: Counter[str]() for name in CATEGORIES}
    for profile in profiles:
        rows += profile["rows"]
        sums.update({name: moments["sum"] for name, moments in profile["numbers"].items()})
        squares.update({name: moments["squares"] for name, moments in profile["numbers"].items()})
        missing.update(profile["missing"])
        for name, counts in profile["categories"].items():
            categories.setdefault(name, Counter()).update(counts)
    return Profile(
        rows=rows,
        numbers={name: Moments(sum=sums[name], squares=squares[name]) for name in NUMBERS},
        categories={name: dict(counts) for name, counts in categories.items()},
        missing={name: missing[name] for name in COLUMNS},
    )


def compare(before: Profile, now: Profile) -> dict[str, Any]:
    """How `now` differs from `before`, for people to look at; both have rows.

    - `rows`: of both, as `before` and `now`; so are the other pairs.
    - `means`: of each number, with `difference`: of the means, in standard deviations before.
    - `shares`: of each category, `index`: the population stability index, and the value whose share changed most.
    - `missing`: the share of rows without a value, of each column that has such rows.
    - `notable`: the columns whose difference is large, and larger than chance makes it with so few rows.
    """
    few = 1 / before["rows"] + 1 / now["rows"]
    means = {name: _means(before, now, name) for name in NUMBERS}
    shares = {name: _shares(before, now, name) for name in CATEGORIES}
    missing = {
        name: {"before": before["missing"][name] / before["rows"], "now": now["missing"][name] / now["rows"]}
        for name in COLUMNS
    }
    notable = [
        name
        for name in COLUMNS
        if (name in means and abs(means[name]["difference"]) > _NOTABLE_DIFFERENCE + 2 * math.sqrt(few))
        or (name in shares and shares[name]["index"] > _NOTABLE_INDEX + 2 * (shares[name]["values"] - 1) * few)
        or abs(missing[name]["now"] - missing[name]["before"]) > _NOTABLE_SHARE + math.sqrt(few)
    ]
    return {
        "rows": {"before": before["rows"], "now": now["rows"]},
        "means": means,
        "shares": shares,
        "missing": {name: pair for name, pair in missing.items() if any(pair.values())},
        "notable": notable,
    }


def _without_rare(found: Counter[str]) -> Counter[str]:
    kept = Counter({value: count for value, count in found.items() if count >= RAREST or value == MISSING})
    if rare := found.total() - kept.total():
        kept[OTHER] += rare
    return kept


def _means(before: Profile, now: Profile, name: str) -> dict[str, float]:
    earlier = before["numbers"][name]
    mean = earlier["sum"] / before["rows"]
    current = now["numbers"][name]["sum"] / now["rows"]
    deviation = math.sqrt(max(earlier["squares"] / before["rows"] - mean * mean, 0.0))
    # A number that never varied before has no scale; one unit is as much as it can differ by least.
    return {"before": mean, "now": current, "difference": (current - mean) / (deviation or 1.0)}


def _shares(before: Profile, now: Profile, name: str) -> dict[str, Any]:
    counts = _comparable(before, now, name)
    pairs = {
        value: (counts[0][value] / before["rows"], counts[1][value] / now["rows"])
        for value in sorted({*counts[0], *counts[1]})
    }
    value, (earlier, current) = max(pairs.items(), key=lambda pair: abs(pair[1][1] - pair[1][0]))
    # A value that one side lacks counts as half a row there: the logarithm of nothing is not a number.
    floors = (0.5 / before["rows"], 0.5 / now["rows"])
    floored = [(max(one, floors[0]), max(other, floors[1])) for one, other in pairs.values()]
    index = sum((other - one) * math.log(other / one) for one, other in floored)
    return {
        "index": index,
        "values": len(pairs),
        "most_changed": {"value": value, "before": earlier, "now": current},
    }


def _comparable(before: Profile, now: Profile, name: str) -> tuple[Counter[str], Counter[str]]:
    """The counts of both, in which a value of one side that may be among the unnamed ones of the other is unnamed."""
    return _folded(before, now, name), _folded(now, before, name)


def _folded(profile: Profile, other: Profile, name: str) -> Counter[str]:
    theirs = other["categories"][name]
    counts: Counter[str] = Counter()
    for value, count in profile["categories"][name].items():
        expected = count / profile["rows"] * other["rows"]
        # About as many as expected: by chance, a value can be rare there that is just not rare here.
        hidden = value not in theirs and value != MISSING and expected <= 2 * theirs.get(OTHER, 0)
        counts[OTHER if hidden else value] += count
    return counts
