"""All that the pages say, in English and Spanish: `en.toml` and `es.toml` have the same keys."""

import tomllib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from ui.services import diagnoses

DASH: Final = "\N{EN DASH}"  # of a range, and where there is nothing
LANGUAGES: Final = {"en": "English", "es": "Español"}


@cache
def table(language: str) -> dict[str, str]:
    """The texts of a language by their dotted keys."""
    with (Path(__file__).parent / f"{language}.toml").open("rb") as file:
        return dict(_flat("", tomllib.load(file)))


def _flat(prefix: str, texts: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in texts.items():
        found += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


class Texts:
    """The texts of one language, and how it writes numbers."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._table = table(self.language)

    def __call__(self, key: str, /, **values: Any) -> str:
        """Raises KeyError for a key or a value that is not there."""
        return self._table[key].format(**values) if values else self._table[key]

    def number(self, value: float, digits: int = 0) -> str:
        text = f"{value:,.{digits}f}"
        return text if self.language == "en" else text.translate({ord(","): "\N{NARROW NO-BREAK SPACE}", ord("."): ","})

    def signed(self, value: float, digits: int) -> str:
        return ("+" if value >= 0 else "\N{MINUS SIGN}") + self.number(abs(value), digits)

    def percent(self, share: float, digits: int = 1) -> str:
        return self.number(100 * share, digits) + ("%" if self.language == "en" else "\N{NO-BREAK SPACE}%")

    def moment(self, time: datetime) -> str:
        """In UTC, as the pipeline and its logs write it."""
        return f"{time:%Y-%m-%d %H:%M} UTC"

    def seconds(self, seconds: float) -> str:
        if seconds < 60:
            return f"{self.number(seconds, 1)} s"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"

    def choice(self, field: str, value: Any) -> str:
        """How a field's value is called."""
        return self(f"choice.{field}.{value if value is not None else 'unknown'}")

    def diagnosis(self, code: str) -> str:
        """The code with its name, or that of its chapter."""
        name = diagnoses.name(code, self.language)
        return f"{code} · {name or self(f'chapter.{diagnoses.chapter(code)}')}"

    def value(self, field: str, value: Any) -> str:
        """A value of an encounter's field in words."""
        if field.startswith("diag_"):
            return self.diagnosis(str(value))
        key = f"choice.{field}.{value}"
        return self._table.get(key) or self._table.get(f"choice.dose.{value}") or str(value)
