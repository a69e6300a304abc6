"""The data contract: the 50 columns of the UCI table with their types, ranges and categories.

Source: UCI "Diabetes 130-US Hospitals 1999-2008" (CC BY 4.0), `diabetic_data.csv`. Categories follow its
`IDs_mapping.csv` and Strack et al. 2014, table 1.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from readmission.errors import ColumnsMismatch, ValueOutOfRange

MISSING: Final = "?"
# Begins the label of a row that the mapping of its delivery cannot read; the reasons follow.
UNREADABLE: Final = "unreadable: "
# A header with more columns is not read: no table that resembles the contract's has so many.
MAX_COLUMNS: Final = 200
_NAME_SHOWN: Final = 40  # characters of a file's column name in an error


@dataclass(frozen=True, slots=True)
class IntegerRange:
    """A whole number from `low` to `high`, inclusive."""

    low: int
    high: int

    @property
    def expected(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def allows(self, value: str) -> bool:
        """Whether the text is a number in the range, written in ASCII digits only."""
        return value.isascii() and value.isdigit() and len(value) < 20 and self.low <= int(value) <= self.high

    def allows_all(self, values: Collection[str]) -> bool:
        """Whether every text is allowed; `values` must not be empty. Three times as fast as one call per text."""
        joined = "".join(values)
        if not (joined.isascii() and joined.isdigit() and all(values) and max(map(len, values)) < 20):
            return False
        numbers = set(map(int, values))
        return self.low <= min(numbers) and max(numbers) <= self.high

    def violation(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.expected}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a fixed set of values. `MISSING` is allowed only if it is in the set."""

    values: frozenset[str]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(sorted(self.values))}"

    def allows(self, value: str) -> bool:
        return value in self.values

    def violation(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.expected}"


@dataclass(frozen=True, slots=True)
class Text:
    """Free text of 1 to `longest` characters, such as a payer code or a specialty."""

    longest: int

    @property
    def expected(self) -> str:
        return f"1 to {self.longest} characters"

    def allows(self, value: str) -> bool:
        return 1 <= len(value) <= self.longest

    def violation(self, value: str) -> str:
        return f"{len(value)} characters, not 1 to {self.longest}"


# The external causes of ICD-9-CM are E000 to E030 and E800 to E999. Between them are codes of ICD-10-CM only: E119 is
# type 2 diabetes, not an external cause.
ICD9_PATTERN: Final = r"[0-9]{1,3}(\.[0-9]{1,2})?|V[0-9]{2}(\.[0-9]{1,2})?|E(0[0-2][0-9]|030|[89][0-9]{2})(\.[0-9])?"
# With its decimal point or without it.
ICD10_PATTERN: Final = r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A code in the form of ICD-9-CM ("250.83", "V57", "E885") or ICD-10-CM ("E11.9", "I509"), or `MISSING`.

    `diagnoses.read` says whether the codes of an encounter go together, and what they mean.
    """

    pattern: str = rf"\?|{ICD9_PATTERN}|{ICD10_PATTERN}"

    @property
    def expected(self) -> str:
        return "an ICD-9-CM code such as 428, 250.83, V57 or E885, an ICD-10-CM code such as I50.9 or E119, or ?"

    def allows(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def violation(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.expected}"


@dataclass(frozen=True, slots=True)
class Date:
    """A date in the form YYYY-MM-DD."""

    @property
    def expected(self) -> str:
        return "a date in the form YYYY-MM-DD"

    def allows(self, value: str) -> bool:
        return parse_date(value) is not None

    def violation(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.expected}"


def parse_date(text: str) -> date | None:
    """The date that the text is in the form YYYY-MM-DD, or None if it is none."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SiteName:
    """The name of an institution, by which a delivery says whose encounters it has."""

    pattern: str = r"[a-z0-9][a-z0-9_-]{0,39}"

    @property
    def expected(self) -> str:
        return "1 to 40 lower-case letters, digits, hyphens and underscores, beginning with a letter or digit"

    def allows(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def violation(self, value: str) -> str:
        return f"{value[:40]!r} is not {self.expected}"


# Every rule describes the `expected` values, decides whether it `allows` a value, and words the `violation` by another.
type Rule = IntegerRange | OneOf | Text | Diagnosis | SiteName

_IDENTIFIER = IntegerRange(1, 2**63 - 1)
_DOSES = OneOf(frozenset({"No", "Steady", "Up", "Down"}))
_DIAGNOSIS = Diagnosis()

# Columns of test results, in which "None" means that the test was not made. An empty value means the same: pandas reads
# "None" as missing, and writes an empty cell.
TESTS: Final = ("max_glu_serum", "A1Cresult")
NOT_MEASURED: Final = "None"

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
# Discharge dispositions after which a readmission forecast makes no sense: death or hospice.
ENDS_OF_CARE: Final[Mapping[str, tuple[int, ...]]] = {"died": (11, 19, 20, 21), "went to a hospice": (13, 14)}

# These ranges are wider than UCI's, whose authors selected stays of 1 to 14 days, for example. A number outside them
# means a shifted column or a broken export, not an unusual patient.
COLUMNS: Final[Mapping[str, Rule]] = {
    "encounter_id": _IDENTIFIER,
    "patient_nbr": _IDENTIFIER,
    "race": Text(40),
    "gender": OneOf(frozenset({"Female", "Male", "Unknown/Invalid"})),
    "age": OneOf(frozenset(AGES)),
    "weight": Text(20),
    "admission_type_id": IntegerRange(1, 99),
    "discharge_disposition_id": IntegerRange(1, 99),
    "admission_source_id": IntegerRange(1, 99),
    "time_in_hospital": IntegerRange(0, 365),
    "payer_code": Text(8),
    "medical_specialty": Text(80),
    "num_lab_procedures": IntegerRange(0, 1000),
    "num_procedures": IntegerRange(0, 100),
    "num_medications": IntegerRange(0, 500),
    "number_outpatient": IntegerRange(0, 1000),
    "number_emergency": IntegerRange(0, 1000),
    "number_inpatient": IntegerRange(0, 1000),
    "diag_1": _DIAGNOSIS,
    "diag_2": _DIAGNOSIS,
    "diag_3": _DIAGNOSIS,
    "number_diagnoses": IntegerRange(0, 100),
    "max_glu_serum": OneOf(frozenset({"None", "Norm", ">200", ">300"})),
    "A1Cresult": OneOf(frozenset({"None", "Norm", ">7", ">8"})),
    **dict.fromkeys(DRUGS, _DOSES),
    "change": OneOf(frozenset({"No", "Ch"})),
    "diabetesMed": OneOf(frozenset({"No", "Yes"})),
    "readmitted": OneOf(frozenset(CLASSES)),
}
NAMES: Final = tuple(COLUMNS)
# Columns that a delivery may have in addition. UCI's data has no dates. A hospital's has, and with the day on which it
# was taken they tell which labels are due.
DISCHARGE_DATE: Final = "discharge_date"
# The version of ICD of a row's diagnoses. Without it, it is inferred from the format of the codes.
DIAG_VERSION: Final = "diag_version"
VERSIONS: Final = OneOf(frozenset({"icd9", "icd10"}))
OPTIONAL_COLUMNS: Final[Mapping[str, Date | OneOf]] = {DISCHARGE_DATE: Date(), DIAG_VERSION: VERSIONS}
# A stay's label is due this many days after the discharge: before, "NO" only means "not yet".
LABEL_DUE_DAYS: Final = 30
_NUMBERS: Final = tuple(
    (index, name, rule) for index, (name, rule) in enumerate(COLUMNS.items()) if isinstance(rule, IntegerRange)
)
# `check_rows` reads only this many fields of a row, so a caller need not split the rest.
CHECKED_FIELDS: Final = 1 + max(index for index, _, _ in _NUMBERS)


def sql_name(column: str) -> str:
    """The column's name in Postgres: lower case with underscores."""
    return column.lower().replace("-", "_")


def column_order(header: Sequence[str], where: str) -> list[int]:
    """The index in `header` of each column of the contract, followed by those of the optional columns that it has.

    A first column without a name is ignored: pandas writes its row numbers there.

    Raises `ColumnsMismatch` with the missing, extra and repeated columns; `where` names the file. A header that has
    none of the contract's columns is not repeated, because the file may be anything.
    """
    if len(header) > MAX_COLUMNS:
        raise ColumnsMismatch(
            f"{where}: the first line has {len(header)} columns, more than the limit of {MAX_COLUMNS}"
        )
    counts = Counter(header[1:] if header[:1] == [""] else header)
    if counts.keys().isdisjoint(COLUMNS):
        raise ColumnsMismatch(f"{where}: the first line has none of the 50 columns of the UCI diabetes data")
    missing = [name for name in NAMES if name not in counts]
    extra = [name for name in counts if name not in COLUMNS and name not in OPTIONAL_COLUMNS]
    repeated = sorted(name for name, count in counts.items() if count > 1 and name not in extra)
    problems = [
        f"{kind}: {', '.join(repr(name[:_NAME_SHOWN]) for name in names)}"
        for kind, names in (("missing", missing), ("extra", extra), ("repeated", repeated))
        if names
    ]
    if problems:
        raise ColumnsMismatch(
            f"{where}: the columns do not match the 50 of the UCI diabetes data; {'; '.join(problems)}"
        )
    return [header.index(name) for name in (*NAMES, *OPTIONAL_COLUMNS) if name in header]


def check_numbers(row: Sequence[str], row_number: int, where: str) -> None:
    """Raise `ValueOutOfRange` for the first numeric field of `row` that is not a whole number in its range.

    `row` holds the contract's fields in order. A number out of range means that the export is broken, so the whole
    batch is rejected. Rows that break another rule are quarantined later, when the batch is cleaned.
    """
    for index, name, rule in _NUMBERS:
        if not rule.allows(row[index]):
            raise ValueOutOfRange(f"{where}, row {row_number}, column {name!r}: {rule.violation(row[index])}")


def check_rows(rows: Sequence[Sequence[str]], first_number: int, where: str) -> None:
    """`check_numbers` for many rows; faster, because it checks each distinct text of a column once."""
    for index, _, rule in _NUMBERS:
        if rows and not rule.allows_all({row[index] for row in rows}):
            for number, row in enumerate(rows, start=first_number):
                check_numbers(row, number, where)
