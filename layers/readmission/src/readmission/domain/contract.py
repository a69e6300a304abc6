"""The data contract: the columns of the UCI table, their types, ranges and categories, in one place.

Source: UCI "Diabetes 130-US Hospitals 1999-2008" (CC BY 4.0), `diabetic_data.csv`, 50 columns; categories as in
its `IDs_mapping.csv` and Strack et al. 2014, table 1.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from readmission.errors import ColumnsMismatch, ValueOutOfRange

MISSING: Final = "?"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def wanted(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def allows(self, value: str) -> bool:
        """Whether the text is such a number: of ASCII digits alone."""
        return value.isascii() and value.isdigit() and len(value) < 20 and self.low <= int(value) <= self.high

    def allows_all(self, values: Collection[str]) -> bool:
        """Whether each of at least one text is: at once, in a third of the time."""
        together = "".join(values)
        if not (together.isascii() and together.isdigit() and all(values) and max(map(len, values)) < 20):
            return False
        numbers = set(map(int, values))
        return self.low <= min(numbers) and max(numbers) <= self.high

    def complaint(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.wanted}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a fixed set of values; `MISSING` counts only where it is listed."""

    values: frozenset[str]

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(sorted(self.values))}"

    def complaint(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.wanted}"


@dataclass(frozen=True, slots=True)
class Text:
    """Free text of at most `longest` characters, as codes and specialties are."""

    longest: int

    @property
    def wanted(self) -> str:
        return f"1 to {self.longest} characters"

    def complaint(self, value: str) -> str:
        return f"{len(value)} characters, not 1 to {self.longest}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An ICD-9-CM code with its point ("250.83", "V57", "E885"), or `MISSING`."""

    pattern: str = r"\?|\d{1,3}(\.\d{1,2})?|V\d{2}(\.\d{1,2})?|E\d{3}(\.\d)?"

    @property
    def wanted(self) -> str:
        return "an ICD-9 code as 428, 250.83, V57 or E885, or ?"

    def complaint(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.wanted}"


# Each tells what is `wanted` of a value, and makes the `complaint` about one that is not.
type Rule = Whole | OneOf | Text | Diagnosis

_IDENTIFIER = Whole(1, 2**63 - 1)
_DOSES = OneOf(frozenset({"No", "Steady", "Up", "Down"}))
_DIAGNOSIS = Diagnosis()

DRUGS: Final = (
    "metformin",
    "repaglinide",
    "nateglinide",
    "chlorpropamide",
    "glimepiride",
    "acetohexamide",
    "glipizide",
    "glyburide",
    "tolbutamide",
    "pioglitazone",
    "rosiglitazone",
    "acarbose",
    "miglitol",
    "troglitazone",
    "tolazamide",
    "examide",
    "citoglipton",
    "insulin",
    "glyburide-metformin",
    "glipizide-metformin",
    "glimepiride-pioglitazone",
    "metformin-rosiglitazone",
    "metformin-pioglitazone",
)
AGES: Final = tuple(f"[{low}-{low + 10})" for low in range(0, 100, 10))
CLASSES: Final = ("NO", ">30", "<30")
# Discharge dispositions that end in death or go to a hospice, where a forecast of readmission has no use.
ENDS_OF_CARE: Final[Mapping[str, tuple[int, ...]]] = {"died": (11, 19, 20, 21), "went to a hospice": (13, 14)}

# The ranges of the numbers are wider than UCI's (which its authors cut, to stays of 1 to 14 days for example):
# a number outside them is a shifted column or a broken export, never a patient.
COLUMNS: Final[Mapping[str, Rule]] = {
    "encounter_id": _IDENTIFIER,
    "patient_nbr": _IDENTIFIER,
    "race": Text(40),
    "gender": OneOf(frozenset({"Female", "Male", "Unknown/Invalid"})),
    "age": OneOf(frozenset(AGES)),
    "weight": Text(20),
    "admission_type_id": Whole(1, 99),
    "discharge_disposition_id": Whole(1, 99),
    "admission_source_id": Whole(1, 99),
    "time_in_hospital": Whole(0, 365),
    "payer_code": Text(8),
    "medical_specialty": Text(80),
    "num_lab_procedures": Whole(0, 1000),
    "num_procedures": Whole(0, 100),
    "num_medications": Whole(0, 500),
    "number_outpatient": Whole(0, 1000),
    "number_emergency": Whole(0, 1000),
    "number_inpatient": Whole(0, 1000),
    "diag_1": _DIAGNOSIS,
    "diag_2": _DIAGNOSIS,
    "diag_3": _DIAGNOSIS,
    "number_diagnoses": Whole(0, 100),
    "max_glu_serum": OneOf(frozenset({"None", "Norm", ">200", ">300"})),
    "A1Cresult": OneOf(frozenset({"None", "Norm", ">7", ">8"})),
    **dict.fromkeys(DRUGS, _DOSES),
    "change": OneOf(frozenset({"No", "Ch"})),
    "diabetesMed": OneOf(frozenset({"No", "Yes"})),
    "readmitted": OneOf(frozenset(CLASSES)),
}
NAMES: Final = tuple(COLUMNS)
_WHOLE: Final = tuple((i, name, rule) for i, (name, rule) in enumerate(COLUMNS.items()) if isinstance(rule, Whole))
# How many of a row's fields `check_rows` looks at: those behind may be left together.
CHECKED_FIELDS: Final = 1 + max(index for index, _, _ in _WHOLE)


def sql_name(column: str) -> str:
    """The column's name in Postgres: lower case, with underscores."""
    return column.lower().replace("-", "_")


def column_order(header: Sequence[str], where: str) -> list[int]:
    """For each column of the contract, its place in `header`.

    Raises `ColumnsMismatch` that names every missing, extra and repeated column; `where` says of which file.
    """
    missing = [name for name in NAMES if name not in header]
    extra = [name for name in header if name not in COLUMNS]
    repeated = sorted({name for name in header if header.count(name) > 1 and name in COLUMNS})
    problems = [
        f"{kind}: {', '.join(repr(name) for name in names)}"
        for kind, names in (("missing", missing), ("extra", extra), ("repeated", repeated))
        if names
    ]
    if problems:
        raise ColumnsMismatch(f"{where}: the columns are not the 50 of the UCI diabetes data; {'; '.join(problems)}")
    return [header.index(name) for name in NAMES]


def check_numbers(row: Sequence[str], row_number: int, where: str) -> None:
    """Raise `ValueOutOfRange` for the first numeric field of `row` that is no whole number in its range.

    `row` holds the contract's 50 fields in order. Such a field means that the export is broken, so the batch is
    refused whole; what is readable but invalid is `quality`'s matter.
    """
    for index, name, rule in _WHOLE:
        if not rule.allows(row[index]):
            raise ValueOutOfRange(f"{where}, row {row_number}, column {name!r}: {rule.complaint(row[index])}")


def check_rows(rows: Sequence[Sequence[str]], first_number: int, where: str) -> None:
    """`check_numbers` of many rows at once: looks at each different text of a column once."""
    for index, _, rule in _WHOLE:
        if rows and not rule.allows_all({row[index] for row in rows}):
            for number, row in enumerate(rows, start=first_number):
                check_numbers(row, number, where)
