"""A hospital's spreadsheet with its own columns: rows of the contract, as the example of docs/own-data.md has them."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from readmission.domain.contract import MISSING, NAMES, TESTS

PAGE: Final = Path(__file__).parents[1] / "docs" / "own-data.md"
RENAMED: Final = {
    "encounter_id": "Fallnummer",
    "patient_nbr": "Patientennummer",
    "race": "Ethnizität",
    "gender": "Geschlecht",
    "age": "Geburtsdatum",
    "time_in_hospital": "Entlassung",
    "diabetesMed": "Diabetesmittel",
    "readmitted": "Wiederaufnahme",
}
HEADER: Final = (*(RENAMED.get(name, name) for name in NAMES), "Aufnahme", "Station")
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "gender": {"Female": "w", "Male": "m", "Unknown/Invalid": ""},
    "diabetesMed": {"Yes": "J", "No": "N"},
    "readmitted": {"NO": "nein", "<30": "früh", ">30": "spät"},
}


def mapping() -> bytes:
    """The mapping in the documentation."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1].encode()


def cells(rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    """The rows below `HEADER`, with admissions and births of any days that give their ages and stays."""
    for number, row in enumerate(rows):
        fields = dict(zip(NAMES, row, strict=True))
        admitted = date(2003, 1, 1) + timedelta(days=number % 1000)
        years = int(fields["age"][1:].partition("-")[0]) + number % 10
        discharged = admitted + timedelta(days=int(fields["time_in_hospital"]))
        for name, words in _WORDS.items():
            fields[name] = words[fields[name]]
        for name in TESTS:
            fields[name] = fields[name].replace("None", "")
        fields |= {name: "" for name, text in fields.items() if text == MISSING}
        fields["num_procedures"] += ",0"
        # Not every year has a 29 February.
        fields["age"] = f"{min(admitted.day, 28):02}.{admitted:%m.}{admitted.year - years}"
        fields["time_in_hospital"] = f"{discharged:%d.%m.%Y}"
        yield [*fields.values(), f"{admitted:%d.%m.%Y}", "Süd"]


def spreadsheet(lines: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> bytes:
    """The file: semicolons, Windows-1252, and the line ends of Windows."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows([header, *lines])
    return text.getvalue().encode("cp1252")
