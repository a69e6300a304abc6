"""The drugs of the stay: how many, which of the 23 diabetes drugs, and whether a dose was changed.

Drugs are recognised by the names of their ingredients. A table of RxNorm codes would have to come from a package or
file that can be named; until there is one, a drug that has a code and no name could be any.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from readmission.domain.contract import DRUGS
from readmission.domain.features import DOSED
from readmission.ehr.found import Found
from readmission.ehr.resources import Answer, Resource, listed, named, number, text, words_of

COUNT: Final = "num_medications"
DIABETES: Final = ("num_diabetes_meds", "diabetesmed_encoded")
CHANGE: Final = "change_encoded"
_DOSES: Final = ("num_doses_up", "num_doses_down")
_NEVER_WAS: Final = ("cancelled", "draft", "entered-in-error")
_NO_ORDER: Final = ("proposal", "plan", "option")
_STOPPED: Final = "stopped"
_INGREDIENTS: Final = {frozenset(drug.split("-")): drug for drug in DRUGS}
_SINGLE: Final = frozenset(name for names in _INGREDIENTS for name in names)
_WORD: Final = re.compile(r"[a-z]{3,}")
_PARTS: Final = re.compile(r"\s*/\s*|\s+(?:and|with|plus)\s+|\s*\+\s*|-(?=[a-z])")
_BRAND: Final = re.compile(r"\[[^]]*\]|\([^)]*\)")
_DURATION: Final = re.compile(r"^\d+\s*(hr|hour|h)\b\s*")
# Names in other languages and of other drugs of the classes of the 23, by their stems. Glibenclamide, for one, is
# glyburide by another name.
_ALIKE: Final = re.compile(r"\b(gl[iy][a-z]+id[ea]?|[a-z]+(glitazon[ea]?|glinid[ea]?|formin[ae]?)|insulin[a-z]+)\b")
# Drugs against diabetes of the classes that came after UCI's data.
_NEWER: Final = re.compile(r"(gliptin|gliflozin|glutid|natid|zepatid)[a-z]?\b")
# A day has so many of a unit of time. Months and years are left out: they are not so many days.
_PER_DAY: Final = {"d": 1.0, "h": 24.0, "min": 1440.0, "s": 86_400.0, "wk": 1 / 7}


@dataclass(frozen=True, slots=True)
class _Order:
    """A MedicationRequest: what it is called without its strength, and which of the 23 drugs it is, if any."""

    resource: Resource
    generic: str
    drug: str | None
    is_doubtful: bool
    dose: tuple[float, str] | None

    @property
    def at(self) -> str:
        return text(self.resource, "authoredOn")


def read(found: Found, medications: Answer) -> None:
    """The fields that come from the MedicationRequests of the stay."""
    if medications.resources is None:
        found.miss([COUNT, *DIABETES, CHANGE], medications.problem)
        return
    orders = [one for one in medications.resources if _is_order(one)]
    unnamed = [one for one in orders if not _names(one)]
    if unnamed:
        found.miss([COUNT, *DIABETES, CHANGE], f"the drug of {named(unnamed)} has no name, and could be any")
        return
    read_orders = [_order(one, _names(one)) for one in orders]
    found.give(COUNT, len({one.generic for one in read_orders}), f"distinct drugs of {len(orders)} MedicationRequests")
    doubtful = [one for one in read_orders if one.is_doubtful]
    others = sorted({one.generic for one in read_orders if one.drug is None})
    if others:
        found.note(f"Not recognised as one of the 23 diabetes drugs by name, and not counted as one: {_list(others)}")
    if doubtful:
        which = f"{named([one.resource for one in doubtful])} ({_list(sorted({one.generic for one in doubtful}))})"
        found.refuse([*DIABETES, CHANGE], f"{which} can be one of the 23 diabetes drugs or another, by its name")
        return
    ours: dict[str, list[_Order]] = {}
    for one in read_orders:
        if one.drug:
            ours.setdefault(one.drug, []).append(one)
    where = named([one.resource for some in ours.values() for one in some]) or "no diabetes drug among the orders"
    found.give("num_diabetes_meds", len(ours), where)
    newer = [one for one in read_orders if _NEWER.search(one.generic)]
    if newer and not ours:
        which = f"{named([one.resource for one in newer])} ({_list(sorted({one.generic for one in newer}))})"
        found.refuse(["diabetesmed_encoded"], f"{which} is a diabetes drug, but none of the 23 that the model knows")
    else:
        found.give("diabetesmed_encoded", int(bool(ours)), where)
    _read_changes(found, ours, where)


def _read_changes(found: Found, ours: Mapping[str, Sequence[_Order]], where: str) -> None:
    changes = {drug: _change(orders) for drug, orders in ours.items()}
    unknown = [one.resource for drug, some in ours.items() if changes[drug] is None for one in some]
    stopped = any(text(one.resource, "status") == _STOPPED for some in ours.values() for one in some)
    if stopped or any(change in ("Up", "Down") for change in changes.values()):
        found.give(CHANGE, 1, where)
    elif unknown:
        found.refuse([CHANGE], f"the doses of {named(unknown)} cannot be compared, so they may have been changed")
    else:
        found.give(CHANGE, 0, where)
    for drug in DOSED:
        if drug not in ours:
            found.give(drug, "No", "no order of it")
        elif change := changes[drug]:
            found.give(drug, change, named([one.resource for one in ours[drug]]))
    if not unknown:
        for name, change in zip(_DOSES, ("Up", "Down"), strict=True):
            found.give(name, sum(one == change for one in changes.values()), where)


def _change(orders: Sequence[_Order]) -> str | None:
    """Steady, Up or Down; None if the orders do not say it, or contradict each other."""
    products: dict[str, list[_Order]] = {}
    for one in orders:
        products.setdefault(one.generic, []).append(one)
    changes = {_change_of_product(some) for some in products.values()}
    if None in changes or {"Up", "Down"} <= changes:
        return None
    return next((change for change in ("Up", "Down") if change in changes), "Steady")


def _change_of_product(orders: Sequence[_Order]) -> str | None:
    if len(orders) == 1:
        return "Steady"
    ordered = sorted(orders, key=lambda one: one.at)
    doses = [one.dose for one in ordered]
    if len({one.at for one in orders}) < len(orders) or not all(one.at for one in orders) or None in doses:
        # The same dose at the same time is the same order twice.
        return "Steady" if None not in doses and len(set(doses)) == 1 else None
    known = [dose for dose in doses if dose is not None]
    if len({unit for _, unit in known}) > 1:
        return None
    first, last = known[0][0], known[-1][0]
    return "Up" if last > first else "Down" if last < first else "Steady"


def _is_order(request: Resource) -> bool:
    return (
        text(request, "status") not in _NEVER_WAS
        and text(request, "intent") not in _NO_ORDER
        and request.get("doNotPerform") is not True
    )


def _names(request: Resource) -> list[str]:
    """What the drug is called, in lower case, by the request or by the Medication inside it."""
    reference = request.get("medicationReference")
    inside = [
        one.get("code")
        for one in listed(request, "contained")
        if text(one, "resourceType") == "Medication" and f"#{text(one, 'id')}" == text(reference, "reference")
    ]
    display = text(reference, "display").lower()
    concepts = [request.get("medicationCodeableConcept"), *inside]
    return [*(name for concept in concepts for name in words_of(concept)), *([display] if display else [])]


def _order(request: Resource, names: Sequence[str]) -> _Order:
    known = {drug for name in names if (drug := _drug(name))}
    drug = known.pop() if len(known) == 1 else None
    doubtful = drug is None and any(_SINGLE & set(_WORD.findall(name)) or _ALIKE.search(name) for name in names)
    return _Order(request, _generic(names[0]), drug, doubtful, _daily_dose(request))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _generic(name: str) -> str:
    """The name without strength and form, which follow the first number: `metformin` of `metformin 500 mg tablet`."""
    whole = _DURATION.sub("", name)
    start = re.split(r"\d", whole, maxsplit=1)[0].strip(" ,-/(")
    return start or name


def _drug(name: str) -> str | None:
    """Which of the 23 drugs it is. One with another ingredient beside theirs is none of them."""
    ingredients = set()
    for part in _PARTS.split(_BRAND.sub("", name)):
        words = _WORD.findall(part)
        known = {word for word in words if word in _SINGLE}
        if not known and any(word not in _NOISE for word in words):
            return None
        ingredients |= known
    return _INGREDIENTS.get(frozenset(ingredients))


# Words of forms, salts and units, which stand between separators without an ingredient.
_NOISE: Final = frozenset(
    _WORD.findall(
        "tablet tablets oral capsule injection injectable solution suspension pen prefilled extended release delayed"
        " film coated unit units unt act actuation hour day dose per subcutaneous vial cartridge hydrochloride sodium"
        " pack bottle human recombinant regular isophane nph rapid long acting mix mixed"
    )
)


def _daily_dose(request: Resource) -> tuple[float, str] | None:
    """The dose of a day and its unit, of a request with one plain instruction."""
    instructions = listed(request, "dosageInstruction")
    if len(instructions) != 1 or instructions[0].get("asNeededBoolean") or "asNeededCodeableConcept" in instructions[0]:
        return None
    doses = [one.get("doseQuantity") for one in listed(instructions[0], "doseAndRate")]
    repeat = ("timing", "repeat")
    frequency, period = (number(instructions[0], *repeat, name) for name in ("frequency", "period"))
    per_day = _PER_DAY.get(text(instructions[0], *repeat, "periodUnit"))
    if len(doses) != 1 or frequency is None or not period or per_day is None:
        return None
    value = number(doses[0], "value")
    unit = text(doses[0], "unit") or text(doses[0], "code")
    return (value * frequency / period * per_day, unit) if value is not None and unit else None
