"""The data contract applied to a batch: the rows that break a rule, and the report on the batch.

The rules are those of `contract.COLUMNS` and `features.STORED`. Each distinct value of a column is checked once.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

from readmission.domain import diagnoses
from readmission.domain.contract import (
    CLASSES,
    COLUMNS,
    DIAG_VERSION,
    DISCHARGE_DATE,
    MISSING,
    NOT_MEASURED,
    OPTIONAL_COLUMNS,
    TESTS,
    UNREADABLE,
    VERSIONS,
    IntegerRange,
    OneOf,
    Rule,
    parse_date,
)
from readmission.domain.diagnoses import Fault, Version, versions_of
from readmission.domain.features import STORED
from readmission.domain.icd9 import COMORBIDITIES
from readmission.domain.splits import SPLITS
from readmission.errors import CleanRowInvalid
from readmission.pipeline.data_report import FIRST_ROWS, Report
from readmission.pipeline.profile import profile_of

# The rows of a batch by column: the values of a column, in the order of the rows.
type Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class CleanColumn:
    """The values that a column of the clean table may have."""

    rule: Rule
    nullable: bool = False

    def allows(self, value: object) -> bool:
        """Whether the value is valid. A float is never a whole number: nothing is rounded on the way to Postgres."""
        if value is None:
            return self.nullable
        if isinstance(self.rule, IntegerRange):
            return self.rule.allows(str(value))
        return isinstance(value, str) and self.rule.allows(value)

    def first_invalid(self, values: Collection[object]) -> list[object]:
        """The first invalid value as a list of one, or an empty list."""
        one_type = len(set(map(type, values)) - {type(None)}) <= 1
        # 55.0 equals 55, so in a set one of them would hide the other.
        if all(map(self.allows, set(values) if one_type else values)):
            return []
        return [next(value for value in values if not self.allows(value))]


CLEAN_COLUMNS: Final[Mapping[str, CleanColumn]] = {
    "data_kind": CleanColumn(OneOf(frozenset({"real", "synthetic"}))),
    "split": CleanColumn(OneOf(frozenset(SPLITS))),
    **{name: CleanColumn(COLUMNS[name]) for name in ("encounter_id", "patient_nbr", "race", "gender", "readmitted")},
    **{name: CleanColumn(rule, nullable=name in COMORBIDITIES) for name, rule in STORED.items()},
}
_ENCOUNTER: Final = ("data_kind", "encounter_id")
_DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")
_FAULTS: Final[Mapping[Fault, str]] = {
    "diagnosis_of_other_version": f"not of the {DIAG_VERSION}",
    "diagnosis_versions_mixed": "of another version of ICD than another diagnosis",
    "diagnosis_version_missing": f"of ICD-9-CM or ICD-10-CM, without a {DIAG_VERSION}",
}


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that some rows of a batch break."""

    rule: str  # without the invalid value, so that rows can be counted by rule
    violations: Mapping[int, str]  # what is wrong, by index of the row in the batch


def broken_rules(rows: Columns) -> list[BrokenRule]:
    """Every rule of the contract that rows of a batch break, in the order of the columns; uniqueness comes last.

    `rows` has the columns of the contract, `data_kind`, `row_number`, `dated` ("t" or "f"), the day of delivery, the
    discharge date and the version of the diagnoses, both empty if not known, in the order of delivery.
    """
    broken = _unreadable(rows)
    unreadable = invalid_rows(broken)
    for name, rule in COLUMNS.items():
        # One message per distinct value, however many rows have it.
        messages = {value: f"{name}: {rule.violation(value)}" for value in set(rows[name]) if not rule.allows(value)}
        if messages:
            invalid = {
                index: messages[value]
                for index, value in enumerate(rows[name])
                if value in messages and not (index in unreadable and _is_in_place(value))
            }
            if invalid:
                broken.append(BrokenRule(f"{name}: not {rule.expected}", invalid))
    broken += _wrong_dates(rows)
    broken += _wrong_diagnoses(rows, invalid_rows(broken))
    if superseded := _superseded(rows, invalid_rows(broken)):
        broken.append(BrokenRule("encounter_id: occurs again in the same batch", superseded))
    return broken


def _unreadable(rows: Columns) -> list[BrokenRule]:
    """The rows that the mapping of their delivery cannot read."""
    found = {
        index: label.removeprefix(UNREADABLE)
        for index, label in enumerate(rows["readmitted"])
        if label.startswith(UNREADABLE)
    }
    return [BrokenRule("the mapping cannot read the row", found)] if found else []


def _is_in_place(value: str) -> bool:
    """Whether it stands for a field that a mapping cannot make."""
    return value == MISSING or value.startswith(UNREADABLE)


def invalid_rows(broken: Iterable[BrokenRule]) -> set[int]:
    """The indices of the rows that break any of the rules."""
    return {index for one in broken for index in one.violations}


def reasons(broken: Iterable[BrokenRule]) -> dict[int, str]:
    """Everything that is wrong with each invalid row, by index of the row in the batch."""
    found: dict[int, list[str]] = {}
    for one in broken:
        for index, violation in one.violations.items():
            found.setdefault(index, []).append(violation)
    return {index: "; ".join(violations) for index, violations in found.items()}


def report_of(rows: Columns, broken: Sequence[BrokenRule], duplicates: int = 0) -> Report:
    """The report on a batch with `duplicates` beside its `rows`; `broken` are the `broken_rules` of `rows`."""
    invalid = invalid_rows(broken)
    rows = _as_read(rows)
    count = len(rows["readmitted"])
    valid = [index not in invalid for index in range(count)]
    classes, splits = (Counter(compress(rows[name], valid)) for name in ("readmitted", "split"))
    return Report(
        rows=count + duplicates,
        cleaned=count - len(invalid),
        quarantined=len(invalid),
        duplicates=duplicates,
        rules={one.rule: len(one.violations) for one in broken},
        first_rows={one.rule: _numbers(rows, one.violations) for one in broken},
        missing={name: _missing(name, rows[name]) for name in COLUMNS},
        classes={name: classes[name] for name in CLASSES},
        splits={name: splits[name] for name in SPLITS},
        profile=profile_of({name: list(compress(rows[name], valid)) for name in COLUMNS}),
    )


def _numbers(rows: Columns, violations: Iterable[int]) -> list[int]:
    """The numbers, in the delivery, of the first rows with a violation."""
    return sorted(int(rows["row_number"][index]) for index in violations)[:FIRST_ROWS]


def check_clean(rows: Sequence[Sequence[object]], batch_id: str) -> None:
    """Check the rows derived from a batch, each with the values of `CLEAN_COLUMNS`, before they are written.

    Raises `CleanRowInvalid` with every rule that a row breaks, and the first value that breaks it.
    """
    if problems := "; ".join(_problems(rows)):
        raise CleanRowInvalid(f"batch {batch_id}: a clean row is invalid, which is a bug: {problems}")


def _problems(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    columns = dict(zip(CLEAN_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    for name, values in columns.items():
        for value in CLEAN_COLUMNS[name].first_invalid(values):
            yield f"{name}: {value!r}: not {CLEAN_COLUMNS[name].rule.expected}"
    encounters = Counter(zip(*(columns.get(name, ()) for name in _ENCOUNTER), strict=True))
    if repeated := next((encounter_id for (_, encounter_id), count in encounters.items() if count > 1), None):
        yield f"encounter_id: {repeated!r}: not unique"


def _missing(name: str, values: Sequence[str]) -> int:
    """The number of rows without a value in the column."""
    return values.count(MISSING) + (values.count(NOT_MEASURED) if name in TESTS else 0)


def _wrong_dates(rows: Columns) -> list[BrokenRule]:
    """The rules on discharge dates, which only the rows of some deliveries have."""
    if "t" not in rows["dated"]:
        return []
    rule = OPTIONAL_COLUMNS[DISCHARGE_DATE]
    malformed, late = {}, {}
    for index, (dated, text, delivered_at) in enumerate(
        zip(rows["dated"], rows[DISCHARGE_DATE], rows["delivered_at"], strict=True)
    ):
        day = parse_date(text)
        if dated == "t" and day is None and not rows["readmitted"][index].startswith(UNREADABLE):
            malformed[index] = f"{DISCHARGE_DATE}: {rule.violation(text)}"
        elif day is not None and day.isoformat() > delivered_at[:10]:
            late[index] = f"{DISCHARGE_DATE}: {text} is after the day of the delivery, {delivered_at[:10]}"
    found = [(f"not {rule.expected}", malformed), ("after the day of the delivery", late)]
    return [BrokenRule(f"{DISCHARGE_DATE}: {what}", violations) for what, violations in found if violations]


def stated_version(text: str) -> Version | None:
    """The version of the diagnoses that a row states, if any; `text` is valid or empty."""
    return next((version for version in diagnoses.VERSIONS if version == text), None)


def _wrong_diagnoses(rows: Columns, invalid: Collection[int]) -> list[BrokenRule]:
    """The rules on diagnoses that are valid each by itself, of rows that are not `invalid`."""
    stated = rows[DIAG_VERSION]
    unknown = {
        index: f"{DIAG_VERSION}: {VERSIONS.violation(text)}"
        for index, text in enumerate(stated)
        if text and not VERSIONS.allows(text)
    }
    broken = [BrokenRule(f"{DIAG_VERSION}: not {VERSIONS.expected}", unknown)] if unknown else []
    if _only_icd9(rows):
        return broken
    # Beside rows of ICD-10-CM, a row whose codes all fit both versions may be either.
    otherwise: Version | None = None if _has_icd10(rows) else "icd9"
    found: dict[tuple[str, Fault], dict[int, str]] = {}
    for index, codes in enumerate(zip(*(rows[name] for name in _DIAGNOSES), strict=True)):
        if index in invalid or index in unknown:
            continue
        given = dict(zip(_DIAGNOSES, codes, strict=True))
        for name, wrong in diagnoses.read(given, stated_version(stated[index]), otherwise).wrong.items():
            if wrong.fault in _FAULTS:
                violations = found.setdefault((name, wrong.fault), {})
                violations[index] = f"{name}: {given[name]!r} {wrong.message}"
    return broken + [
        BrokenRule(f"{name}: {_FAULTS[fault]}", violations) for (name, fault), violations in sorted(found.items())
    ]


def _has_icd10(rows: Columns) -> bool:
    """Whether a code of any row has the form of ICD-10-CM only."""
    return any(versions_of(code) == ("icd10",) for name in _DIAGNOSES for code in set(rows[name]))


def _only_icd9(rows: Columns) -> bool:
    return not any(rows[DIAG_VERSION]) and not _has_icd10(rows)


def _as_read(rows: Columns) -> Columns:
    """The rows with the diagnoses that models cannot read as missing: they have no single equivalent in ICD-9-CM."""
    if _only_icd9(rows):
        return rows
    read = {name: list(rows[name]) for name in _DIAGNOSES}
    for index, (text, *codes) in enumerate(zip(rows[DIAG_VERSION], *read.values(), strict=True)):
        found = diagnoses.read(dict(zip(_DIAGNOSES, codes, strict=True)), stated_version(text))
        for name, wrong in found.wrong.items():
            if wrong.fault not in _FAULTS:
                read[name][index] = MISSING
    return {**rows, **read}


def _superseded(rows: Columns, invalid: Collection[int]) -> dict[int, str]:
    """The valid rows that a later valid row of the same encounter replaces, by index, with a message for each."""
    valid = [
        (index, encounter)
        for index, encounter in enumerate(zip(*(rows[name] for name in _ENCOUNTER), strict=True))
        if index not in invalid
    ]
    last = {encounter: index for index, encounter in valid}
    return {
        index: f"encounter_id: {encounter[1]} occurs again in row {rows['row_number'][last[encounter]]} of the same"
        " batch, which is the one that counts"
        for index, encounter in valid
        if last[encounter] != index
    }
