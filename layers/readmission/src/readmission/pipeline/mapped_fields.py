"""How a delivery's mapping makes each field of the contract from the columns of a hospital's own file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Final

from readmission.domain.contract import AGES, COLUMNS, MISSING, NOT_MEASURED, TESTS, UNREADABLE, IntegerRange

# What stands for an unknown value. The numbers are UCI's codes for NULL. Other columns may not be unknown: the models
# need them, or "none" would be a claim about the patient.
UNKNOWN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("race", "weight", "payer_code", "medical_specialty", "diag_1", "diag_2", "diag_3"), MISSING),
    "gender": "Unknown/Invalid",
    "admission_type_id": "6",
    "discharge_disposition_id": "18",
    "admission_source_id": "17",
}
ISO: Final = "iso"
"""The format of dates and times of which a mapping gives none."""
_KNOWN_DATES: Final = 50_000  # distinct dates that are kept, so that each is parsed once
_SHOWN: Final = 40  # characters of a value in a reason

type Cells = Sequence[str]
type Maker = Callable[[Cells], str]


class Unreadable(Exception):
    """A row does not have what a field is made of; the message says what it has instead."""


@dataclass(frozen=True, slots=True)
class Copied:
    """The text of a column, translated by `values` where they have it."""

    column: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        place, values = places[self.column], self.values
        empty = NOT_MEASURED if name in TESTS else UNKNOWN.get(name, "")
        shortened = partial(whole, decimal=decimal) if isinstance(COLUMNS.get(name), IntegerRange) else None

        def make(cells: Cells) -> str:
            text = cells[place].strip()
            if text in values:
                return values[text]
            if not text:
                return empty
            return shortened(text) if shortened else text

        return make


@dataclass(frozen=True, slots=True)
class Always:
    """The same value in every row."""

    value: str
    columns: tuple[str, ...] = ()

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        return lambda _: self.value


@dataclass(frozen=True, slots=True)
class Years:
    """The age group, from the age in whole years."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        place = places[self.column]

        def make(cells: Cells) -> str:
            text = whole(cells[place].strip(), decimal)
            if not (text.isascii() and text.isdigit() and len(text) <= 3):
                raise Unreadable(f"{self.column} {text[:_SHOWN]!r} is not an age in whole years")
            return _age_group(int(text))

        return make


@dataclass(frozen=True, slots=True)
class Born:
    """The age group, from the dates of birth and admission."""

    born: str
    admitted: str
    form: str = ISO

    @property
    def columns(self) -> tuple[str, ...]:
        return self.born, self.admitted

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        born_of, admitted_of = (_day_reader(column, places, self.form) for column in self.columns)

        def make(cells: Cells) -> str:
            born, admitted = born_of(cells), admitted_of(cells)
            if born > admitted:
                raise Unreadable(f"{self.born} {born} is after {self.admitted} {admitted}")
            return _age_group(admitted.year - born.year - ((admitted.month, admitted.day) < (born.month, born.day)))

        return make


@dataclass(frozen=True, slots=True)
class Days:
    """The days in hospital: how many midnights lie between admission and discharge, as UCI counts them."""

    admitted: str
    discharged: str
    form: str = ISO

    @property
    def columns(self) -> tuple[str, ...]:
        return self.admitted, self.discharged

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        admitted_of, discharged_of = (_day_reader(column, places, self.form) for column in self.columns)
        longest = _LONGEST_STAY

        def make(cells: Cells) -> str:
            admitted, discharged = admitted_of(cells), discharged_of(cells)
            days = (discharged - admitted).days
            if days < 0:
                raise Unreadable(f"{self.discharged} {discharged} is before {self.admitted} {admitted}")
            if days > longest:
                raise Unreadable(f"{days} days from {admitted} to {discharged} are more than {longest}")
            return str(days)

        return make


@dataclass(frozen=True, slots=True)
class Day:
    """The day of a date or time."""

    column: str
    form: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def maker(self, name: str, places: Mapping[str, int], decimal: str) -> Maker:
        read = _day_reader(self.column, places, self.form)
        return lambda cells: read(cells).isoformat()


type Field = Copied | Always | Years | Born | Days | Day

_STAY: Final = COLUMNS["time_in_hospital"]
assert isinstance(_STAY, IntegerRange)
_LONGEST_STAY: Final = _STAY.high
_LABEL: Final = "readmitted"


def row_maker(makers: Mapping[str, Maker]) -> Callable[[Cells], list[str]]:
    """Makes the row of the contract from the cells of a file's row.

    A row with a field that cannot be made goes on with `UNREADABLE` and the reasons in place of its label, so that
    nothing is learned from it, whatever stands in its other fields: *clean* puts it into quarantine with the reasons.
    """
    label = list(makers).index(_LABEL)

    def make(cells: Cells) -> list[str]:
        row, problems = [], []
        for name, maker in makers.items():
            try:
                row.append(maker(cells))
            except Unreadable as problem:
                row.append(_IN_PLACE.get(name, MISSING))
                problems.append(f"{name}: {problem}")
        if problems:
            row[label] = UNREADABLE + "; ".join(problems)
        return row

    return make


# Of a field that cannot be made: the table of raw rows takes no text there.
_IN_PLACE: Final = {"time_in_hospital": "0"}


def whole(text: str, decimal: str) -> str:
    """`5` for `5.0`: spreadsheets and pandas write whole numbers so where a column has gaps. Else the text itself."""
    whole, separator, rest = text.partition(decimal)
    return whole if separator and whole and rest and not rest.strip("0") else text


def _age_group(years: int) -> str:
    if years >= 10 * len(AGES):
        raise Unreadable(f"the age {years} is in none of the groups, which end at {10 * len(AGES)}")
    return AGES[years // 10]


def _day_reader(column: str, places: Mapping[str, int], form: str) -> Callable[[Cells], date]:
    place, parse = places[column], partial(_day, form=form)

    def read(cells: Cells) -> date:
        text = cells[place].strip()
        if (day := parse(text)) is None:
            expected = "of ISO 8601, such as 2024-05-31" if form == ISO else f"in the form {form}"
            raise Unreadable(f"{column} {text[:_SHOWN]!r} is not a date {expected}")
        return day

    return read


@lru_cache(maxsize=_KNOWN_DATES)
def _day(text: str, form: str) -> date | None:
    try:
        return (datetime.fromisoformat(text) if form == ISO else datetime.strptime(text, form)).date()
    except ValueError:
        return None
