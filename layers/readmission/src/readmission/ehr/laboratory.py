"""The laboratory tests of the stay: how many there were, and the groups of HbA1c and of glucose in serum.

Tests are recognised by their names. A table of LOINC codes would have to come from a package or file that can be named;
until there is one, an observation that has a code and no name could be any test.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from readmission.ehr.found import Found
from readmission.ehr.resources import Answer, Resource, named, number, text, words_of

COUNT: Final = "num_lab_procedures"
A1C: Final = "a1cresult_encoded"
GLUCOSE: Final = "max_glu_serum_encoded"
FIELDS: Final = (COUNT, A1C, GLUCOSE)
_NOT_MADE: Final = ("registered", "cancelled", "entered-in-error")
_NOT_MEASURED: Final = 0
_HEMOGLOBIN: Final = r"(ha?emoglobin|hgb|hb)"
_A1C_NAME: Final = re.compile(
    rf"(a1c\b|\bglycoha?emoglobin\b|\bgly(cat|cosylat)ed {_HEMOGLOBIN}\b|\b{_HEMOGLOBIN},? gly(cat|cosylat)ed\b)"
)
_SERUM: Final = re.compile(r"\b(serum|plasma)\b")
_ELSEWHERE: Final = re.compile(
    r"\b(urine|blood|capillary|interstitial|cerebral|cerebrospinal|csf|fluid|stool|tissue)\b"
)
_COMPUTED: Final = re.compile(r"\b(mean|estimated|average)\b")


@dataclass(frozen=True, slots=True)
class _Test:
    """A test: its field, its unit, and the results above which it is in the groups 2 and 3, as in UCI's data."""

    field: str
    unit: str
    limits: tuple[float, float]

    def groups(self, observation: Resource) -> set[int] | None:
        """The groups that the result can be in: several for such as `> 6`; None without a result in the unit."""
        value = number(observation, "valueQuantity", "value")
        if value is None or self.unit not in _units(observation):
            return None
        match text(observation, "valueQuantity", "comparator"):
            case "":
                return {self._group(value)}
            case "<" | "<=":
                return set(range(1, self._group(value) + 1))
            case ">" | ">=" as sign:
                lowest = self._group(value) + (sign == ">" and value in self.limits)
                return set(range(lowest, 4))
            case _:
                return None

    def _group(self, value: float) -> int:
        return 1 + sum(value > limit for limit in self.limits)


_A1C_TEST: Final = _Test(A1C, "%", (7, 8))
_GLUCOSE_TEST: Final = _Test(GLUCOSE, "mg/dL", (200, 300))


def _units(observation: Resource) -> tuple[str, str]:
    return text(observation, "valueQuantity", "unit"), text(observation, "valueQuantity", "code")


def read(found: Found, laboratory: Answer) -> None:
    """The three fields, from the laboratory's Observations of the stay."""
    if laboratory.resources is None:
        found.miss(FIELDS, laboratory.problem)
        return
    made = [one for one in laboratory.resources if text(one, "status") not in _NOT_MADE]
    found.give(COUNT, len(made), f"{len(made)} Observations of the laboratory")
    unnamed = [one for one in made if not words_of(one.get("code"))]
    _read_test(found, _A1C_TEST, [one for one in made if _is_a1c(one)], unnamed, _one_of)
    vague = [one for one in made if _may_be_glucose(one)]
    _read_test(found, _GLUCOSE_TEST, [one for one in made if _is_glucose(one)], [*unnamed, *vague], _highest)


def _read_test(
    found: Found,
    test: _Test,
    results: Sequence[Resource],
    perhaps: Sequence[Resource],
    group_of: Callable[[Sequence[set[int]]], set[int]],
) -> None:
    """The group of the results of a test; `perhaps` are observations that may be of it, too."""
    if perhaps:
        found.miss([test.field], f"{named(perhaps)} may be this test: its code has no name, or no specimen")
        return
    if not results:
        found.give(test.field, _NOT_MEASURED, "no such test among the Observations of the laboratory")
        return
    groups = [test.groups(one) for one in results]
    known = [one for one in groups if one is not None]
    if len(known) < len(groups):
        without = [one for one, its in zip(results, groups, strict=True) if its is None]
        found.miss([test.field], f"{named(without)} has no result in {test.unit}")
        return
    group = group_of(known)
    if len(group) > 1:
        found.refuse([test.field], f"the results of {named(results)} are in different groups, or can be in several")
    else:
        found.give(test.field, group.pop(), named(results))


def _one_of(groups: Sequence[set[int]]) -> set[int]:
    """The groups that some result can be in."""
    return set().union(*groups)


def _highest(groups: Sequence[set[int]]) -> set[int]:
    """The groups that the highest result can be in."""
    least = max(map(min, groups))
    return {group for one in groups for group in one if group >= least}


def _is_a1c(observation: Resource) -> bool:
    return any(_A1C_NAME.search(name) and "glucose" not in name for name in words_of(observation.get("code")))


def _glucose_names(observation: Resource) -> list[str]:
    names = words_of(observation.get("code"))
    return [name for name in names if "glucose" in name and not _COMPUTED.search(name)]


def _is_glucose(observation: Resource) -> bool:
    return any(_SERUM.search(name) for name in _glucose_names(observation))


def _may_be_glucose(observation: Resource) -> bool:
    """Whether it is glucose, and nobody says in what."""
    names = _glucose_names(observation)
    return bool(names) and not any(_SERUM.search(name) or _ELSEWHERE.search(name) for name in names)
