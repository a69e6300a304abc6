"""FHIR R4 resources as JSON: what an EHR answered to a query, and the parts that several kinds of resource have.

Nothing here trusts a shape: an EHR may send any JSON. What is not as FHIR says it counts as not there.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from typing import Any, Final

type Resource = Mapping[str, Any]

MOST: Final = 20_000
"""Resources of one answer that are read."""
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_YEAR_OR_MONTH: Final = re.compile(r"\d{4}(-\d{2})?")


@dataclass(frozen=True, slots=True)
class Answer:
    """The resources that an EHR gave to one query; None if it did not answer it in full, because of `problem`."""

    resources: Sequence[Resource] | None
    problem: str = ""


def answer(prefetch: Mapping[str, Any], key: str, kind: str) -> Answer:
    """What the prefetch has under `key`: a resource of this kind, or a Bundle of them, which may be empty.

    An empty Bundle is an answer: there are none. A key that is missing or null is not, whatever the reason.
    """
    if key not in prefetch:
        return Answer(None, f"the request has no prefetch {key!r}")
    found = prefetch[key]
    if found is None:
        return Answer(None, f"the prefetch {key!r} is null")
    if not isinstance(found, Mapping):
        return Answer(None, f"the prefetch {key!r} is not a resource")
    if found.get("resourceType") == kind:
        return Answer([found])
    if found.get("resourceType") != "Bundle":
        return Answer(None, f"the prefetch {key!r} is not of {kind}")
    return of_bundle(found, kind, f"the prefetch {key!r}")


def of_bundle(bundle: Resource, kind: str, where: str) -> Answer:
    """The resources of this kind in a Bundle, if it is complete; `where` names it."""
    if "entry" in bundle and not isinstance(bundle["entry"], list):
        return Answer(None, f"the entry of {where} is not a list")
    entries = listed(bundle, "entry")
    resources = [entry["resource"] for entry in entries if isinstance(entry.get("resource"), Mapping)]
    if len(resources) > MOST:
        return Answer(None, f"{where} has more than {MOST} resources")
    if any(link.get("relation") == "next" for link in listed(bundle, "link")):
        return Answer(None, f"{where} is one page of several")
    matches = sum(text(entry, "search", "mode") in ("", "match") for entry in entries)
    total = bundle.get("total")
    if isinstance(total, int) and total > matches:
        return Answer(None, f"{where} has {matches} of {total} resources")
    if any(one.get("resourceType") == "OperationOutcome" and _is_error(one) for one in resources):
        return Answer(None, f"{where} says that the EHR failed")
    return Answer([one for one in resources if one.get("resourceType") == kind])


def _is_error(outcome: Resource) -> bool:
    return any(one.get("severity") in ("fatal", "error") for one in listed(outcome, "issue"))


def listed(resource: Any, name: str) -> list[Resource]:
    """The objects of a list; empty if there is none."""
    found = resource.get(name) if isinstance(resource, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def text(resource: Any, *path: str) -> str:
    """The text at the end of the path; empty if there is none."""
    for name in path:
        resource = resource.get(name) if isinstance(resource, Mapping) else None
    if not isinstance(resource, str):
        return ""
    # Half a surrogate pair, which JSON can express, cannot be answered.
    return (resource if resource.isascii() else resource.encode(errors="replace").decode()).strip()


def number(resource: Any, *path: str) -> float | None:
    """The number at the end of the path, if it is finite."""
    for name in path:
        resource = resource.get(name) if isinstance(resource, Mapping) else None
    if not isinstance(resource, int | float) or isinstance(resource, bool) or not isfinite(resource):
        return None
    return float(resource)


def name_of(resource: Resource) -> str:
    """How a person finds the resource, such as `Observation/17`; without an id, its kind alone."""
    kind, found = text(resource, "resourceType"), text(resource, "id")
    return f"{kind}/{found}" if _ID.fullmatch(found) else kind


def named(resources: Sequence[Resource], most: int = 3) -> str:
    """The first of the resources by their names."""
    names = ", ".join(name_of(one) for one in resources[:most])
    return f"{names} and {len(resources) - most} more" if len(resources) > most else names


def is_referred(reference: Any, kind: str, found_id: str) -> bool:
    """Whether the reference is to the resource of this kind and id, relative or absolute."""
    target = text(reference, "reference").split("/_history/")[0]
    return target in (f"{kind}/{found_id}", f"urn:uuid:{found_id}") or target.endswith(f"/{kind}/{found_id}")


def codings(concept: Any) -> Iterator[tuple[str, str]]:
    """The codes of a CodeableConcept with their systems."""
    for coding in listed(concept, "coding"):
        if code := text(coding, "code"):
            yield text(coding, "system"), code


def words_of(concept: Any) -> list[str]:
    """What a CodeableConcept is called: its text and the displays of its codes, in lower case."""
    found = [text(concept, "text"), *(text(coding, "display") for coding in listed(concept, "coding"))]
    return list(dict.fromkeys(one.lower() for one in found if one))


def day_of(moment: str) -> date | None:
    """The day of a FHIR date or dateTime; None if it has none, or is malformed."""
    try:
        return date.fromisoformat(moment[:10]) if _DAY.match(moment) else None
    except ValueError:
        return None


def instant_of(moment: str) -> datetime | None:
    """The time of a dateTime with a time zone; None if it has no time, or is malformed."""
    try:
        found = datetime.fromisoformat(moment) if len(moment) > len("2024-05-31") else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def birthdays(born: str) -> tuple[date, date] | None:
    """The first and the last day on which somebody of this FHIR date of birth can be born."""
    if day := day_of(born):
        return day, day
    if not _YEAR_OR_MONTH.fullmatch(born):
        return None
    try:
        if len(born) == len("1950"):
            return date(int(born), 1, 1), date(int(born), 12, 31)
        year, month = map(int, born.split("-"))
        return date(year, month, 1), date(year, month, monthrange(year, month)[1])
    except ValueError:  # monthrange's IllegalMonthError is one
        return None
