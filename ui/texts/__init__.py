"""All texts of the pages, in English and Spanish.

`en.toml` and `es.toml` have the same keys. `api.es.toml` translates what the application itself writes in English: the
API's messages by their code, the reasons of the promotion ledger, and the model card.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from ui.services import diagnoses

DASH: Final = "\N{EN DASH}"  # in ranges, and for missing values
LANGUAGES: Final = {"en": "English", "es": "Español"}


@cache
def table(name: str) -> Mapping[str, str]:
    """The texts of a file by their dotted keys: `en`, `es`, or `api.es`."""
    with (Path(__file__).parent / f"{name}.toml").open("rb") as file:
        return dict(_flat("", tomllib.load(file)))


def _flat(prefix: str, texts: dict[str, Any]) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in texts.items():
        flat += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return flat


class Texts:
    """The texts of one language, and its number format."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._table = table(self.language)

    @property
    def translates(self) -> bool:
        """Whether the application's own English texts have to be translated."""
        return self.language != "en"

    def __call__(self, key: str, /, **values: Any) -> str:
        """Raises KeyError for an unknown key or a missing value."""
        return self._table[key].format(**values) if values else self._table[key]

    def get(self, key: str, default: str) -> str:
        """The text of a key that may be unknown."""
        return self._table.get(key, default)

    def translation(self, key: str, /, **values: Any) -> str:
        """The translation of an English text of the application. Raises KeyError for an unknown key or value."""
        text = table(f"api.{self.language}")[key]
        return text.format(**values) if values else text

    def translation_or(self, key: str, otherwise: str) -> str:
        """The translation of a key that may be unknown."""
        return table(f"api.{self.language}").get(key, otherwise)

    def message(self, error: Mapping[str, Any]) -> str:
        """What the API says is wrong with a field; untranslated if the API is newer than this page."""
        key = f"message.{error.get('code')}"
        if not self.translates or key not in table(f"api.{self.language}"):
            return str(error["message"])
        values = error.get("params") or {}
        return self.translation(key, **{name: self._listed(value) for name, value in values.items()})

    def _listed(self, value: Any) -> str:
        if isinstance(value, int):
            return self.number(value)
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    def number(self, value: float, digits: int = 0) -> str:
        text = f"{value:,.{digits}f}"
        if self.language == "en":
            return text
        # Spanish does not group the digits of four-digit numbers.
        groups = "\N{NARROW NO-BREAK SPACE}" if abs(value) >= 9_999.5 else ""
        return text.translate({ord(","): groups, ord("."): ","})

    def signed(self, value: float, digits: int) -> str:
        return ("+" if value >= 0 else "\N{MINUS SIGN}") + self.number(abs(value), digits)

    def percent(self, share: float, digits: int = 1) -> str:
        return self.number(100 * share, digits) + ("%" if self.language == "en" else "\N{NO-BREAK SPACE}%")

    def moment(self, time: datetime) -> str:
        """ISO 8601 in UTC, like the pipeline's logs; it sorts as text in tables."""
        return f"{time:%Y-%m-%d %H:%M} UTC"

    def seconds(self, seconds: float) -> str:
        if seconds < 60:
            return f"{self.number(seconds, 1)} s"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"

    def choice(self, field: str, value: Any) -> str:
        """The name of a field's value."""
        return self(f"choice.{field}.{value if value is not None else 'unknown'}")

    def diagnosis(self, code: str, *, versioned: bool = True) -> str:
        """The code with its name. One of ICD-10-CM also has its version, and without a name what it is read as."""
        plain, name = diagnoses.code_of(code), diagnoses.name(code, self.language)
        if diagnoses.version(code) == "icd9":
            return f"{plain} · {name}" if name else plain
        # The version comes first, because a field cuts a long name off.
        shown = f"{plain} ({self.choice('version', 'icd10')})" if versioned else plain
        return f"{shown} · {name}" if name else f"{shown} → {self.diagnosis(diagnoses.read_as(code))}"

    def value(self, field: str, value: Any) -> str:
        """The value of an encounter's field in words."""
        if field.startswith("diag_"):
            return self.diagnosis(str(value))
        key = f"choice.{field}.{value}"
        return self._table.get(key) or self._table.get(f"choice.dose.{value}") or str(value)
