"""What the resources of a stay say about the fields of a request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Found:
    """The fields that are known, with what each was read from, and why others are not.

    `missing` has the fields that the resources do not give, `conflicting` those about which they can mean two things.
    `notes` are resources that count as nothing, because nobody says what they are. None of the texts has a value of the
    patient; they name resources by their ids.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    conflicting: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def give(self, name: str, value: Any, source: str) -> None:
        self.fields[name], self.sources[name] = value, source

    def miss(self, names: Iterable[str], why: str) -> None:
        self.missing |= dict.fromkeys(names, why)

    def refuse(self, names: Iterable[str], why: str) -> None:
        self.conflicting |= dict.fromkeys(names, why)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
