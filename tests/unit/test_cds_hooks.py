"""The schemas refuse what lacks any field that the text of CDS Hooks requires, so that the tests by them can fail."""

from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests import cds_hooks

CODING: dict[str, Any] = {"code": "1", "system": "urn:x", "display": "other"}
CARD: dict[str, Any] = {
    "uuid": "4e0a3a1e-3283-4575-ab82-028d55fe2719",
    "summary": "Example Card",
    "indicator": "info",
    "source": {"label": "Example"},
    "suggestions": [{"label": "Do it", "uuid": "e56e1945-20b3-4393-8503-a1a20fd73152"}],
    "selectionBehavior": "any",
    "overrideReasons": [CODING],
    "links": [{"label": "GitHub", "url": "https://github.example", "type": "absolute"}],
}
DOCUMENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "discovery": (
        cds_hooks.DISCOVERY,
        {"services": [{"hook": "encounter-discharge", "description": "a service", "id": "service"}]},
    ),
    "request": (
        cds_hooks.REQUEST,
        {
            "hook": "encounter-discharge",
            "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/1", "patientId": "1288992", "encounterId": "456"},
        },
    ),
    "response": (cds_hooks.RESPONSE, {"cards": [CARD]}),
    "feedback": (
        cds_hooks.FEEDBACK,
        {
            "feedback": [
                {
                    "card": "4e0a3a1e-3283-4575-ab82-028d55fe2719",
                    "outcome": "overridden",
                    "outcomeTimestamp": "2020-12-11T00:00:00Z",
                    "overrideReason": {"reason": {"code": "1", "system": "urn:x"}},
                }
            ]
        },
    ),
}
# What a card may have, and what one with suggestions may not lack, is not required of each.
OPTIONAL = {"uuid", "suggestions", "overrideReasons", "links", "overrideReason", "reason"}


def required(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of the fields of an example that are not optional."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    found: list[tuple[str | int, ...]] = []
    for key, value in items:
        if isinstance(key, str) and key not in OPTIONAL:
            found.append((*path, key))
        if isinstance(value, dict | list):
            found += required(value, (*path, key))
    return found


def errors(schema: dict[str, Any], document: Any) -> list[Any]:
    return list(Draft202012Validator(schema).iter_errors(document))


CASES = [(name, path) for name, (_, document) in DOCUMENTS.items() for path in required(document)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_examples_are_valid(name: str) -> None:
    assert errors(*DOCUMENTS[name]) == []


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name} {'.'.join(map(str, path))}" for name, path in CASES])
@pytest.mark.parametrize("value", [..., None, ""], ids=["missing", "null", "empty"])
def test_a_document_without_a_required_field_is_invalid(name: str, path: tuple[str | int, ...], value: Any) -> None:
    schema, document = deepcopy(DOCUMENTS[name])
    part: Any = document
    for key in path[:-1]:
        part = part[key]
    if value is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    assert errors(schema, document) != []


def test_what_depends_on_another_field_is_required_with_it() -> None:
    accepted = deepcopy(DOCUMENTS["feedback"][1])
    accepted["feedback"][0]["outcome"] = "accepted"
    assert errors(cds_hooks.FEEDBACK, accepted)
    accepted["feedback"][0]["acceptedSuggestions"] = [{"id": "1"}]
    assert errors(cds_hooks.FEEDBACK, accepted) == []
    assert errors(cds_hooks.RESPONSE, {"cards": [CARD | {"summary": "x" * 140}]})
