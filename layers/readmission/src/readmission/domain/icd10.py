"""ICD-10-CM diagnosis codes, read as the ICD-9-CM codes that models learn from.

The table `icd10_to_icd9.txt` is made from CMS's general equivalence mappings. It has what the models read of a code,
its ICD-9-CM category and the kind of complication of diabetes, by the beginning of the ICD-10-CM code: "I50" is "428".
A code that is newer than the mappings is read as the code that it divides.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

TABLE: Final = "icd10_to_icd9.txt"
# Values of the table: codes with this beginning have different equivalents, or none.
AMBIGUOUS: Final = "*"
UNMAPPED: Final = "-"
_CACHED_CODES: Final = 2048
_SHORTEST, _LONGEST = 3, 7


@lru_cache(_CACHED_CODES)
def to_icd9(code: str) -> str:
    """The equivalent of the code, which may have its decimal point or not, as a category or a code such as "250.4".

    `AMBIGUOUS` if codes that begin with it have different ones, `UNMAPPED` if it has none.
    """
    plain = code.replace(".", "")
    if len(plain) == _LONGEST:
        # The last character decides between an injury ("A") and its aftercare ("D"), whatever is injured.
        found = _longest(_sections().get(plain[-1], {}), plain[:-1])
        if found:
            return found
    return _longest(_sections()[""], plain) or UNMAPPED


def _longest(section: Mapping[str, str], code: str) -> str | None:
    """The value of the longest beginning of the code that the section has."""
    for length in range(len(code), _SHORTEST - 1, -1):
        if found := section.get(code[:length]):
            return found
    return None


@cache
def _sections() -> Mapping[str, Mapping[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    section = sections.setdefault("", {})
    for line in (files(__package__) / TABLE).read_text(encoding="utf-8").splitlines():
        if line.startswith(":"):
            section = sections.setdefault(line[1:], {})
        elif not line.startswith("#"):
            prefix, _, value = line.partition(" ")
            section[prefix] = value
    return sections
