"""The data contract as pandera schemas of the raw and the clean rows, and what a batch's report counts.

Names, types, ranges and categories are those of `contract.COLUMNS` and `features.STORED`: here they are only applied.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from readmission.domain.contract import CLASSES, COLUMNS, MISSING, Diagnosis, IntegerRange, OneOf, Rule, Text
from readmission.domain.features import STORED
from readmission.domain.icd9 import COMORBIDITIES
from readmission.domain.splits import SPLITS
from readmission.errors import CleanRowInvalid
from readmission.pipeline.data_report import Report


@dataclass(frozen=True, slots=True)
class CleanColumn:
    """What a column of the clean table may hold."""

    rule: Rule
    nullable: bool = False


CLEAN_COLUMNS: Final[Mapping[str, CleanColumn]] = {
    "data_kind": CleanColumn(OneOf(frozenset({"real", "synthetic"}))),
    "split": CleanColumn(OneOf(frozenset(SPLITS))),
    **{name: CleanColumn(COLUMNS[name]) for name in ("encounter_id", "patient_nbr", "race", "gender", "readmitted")},
    **{name: CleanColumn(rule, nullable=name in COMORBIDITIES) for name, rule in STORED.items()},
}
# In these, "None" stands for a test that was not made.
_NOT_MEASURED: Final = {"max_glu_serum": "None", "A1Cresult": "None"}
_ENCOUNTER: Final = ["data_kind", "encounter_id"]
_REPEATED: Final = "occurs again in the same batch"


def _column(rule: Rule, *, nullable: bool = False) -> pa.Column:
    # One failure case is enough: which rows fail is read from the check's output, without a table of all of them.
    told: dict[str, Any] = {"error": f"not {rule.expected}", "n_failure_cases": 1}
    match rule:
        case IntegerRange():
            check = pa.Check(lambda values: _allowed(rule, values), **told)
        case OneOf(values):
            check = pa.Check.isin(sorted(values), **told)
        case Text(longest):
            check = pa.Check.str_length(1, longest, **told)
        case Diagnosis(pattern):
            check = pa.Check(lambda values: values.str.fullmatch(pattern), **told)
    return pa.Column(object, check, nullable=nullable)


def _allowed(rule: IntegerRange, values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Of each value whether the rule allows it; every different one is looked at once.

    As texts, which is how they come from and go to Postgres: 3.0 is no whole number, and nothing is rounded.
    """
    texts = [str(value) for value in values]
    allowed = {text: rule.allows(text) for text in set(texts)}
    return pd.Series([allowed[text] for text in texts], index=values.index, dtype=bool)


RAW_SCHEMA: Final = pa.DataFrameSchema({name: _column(rule) for name, rule in COLUMNS.items()})
# For rows that keep to the schema above: a later row that is invalid replaces none.
RAW_UNIQUENESS: Final = pa.DataFrameSchema(
    checks=pa.Check(lambda rows: ~rows.duplicated(_ENCOUNTER, keep="last"), error=_REPEATED, n_failure_cases=1)
)
CLEAN_SCHEMA: Final = pa.DataFrameSchema(
    {name: _column(column.rule, nullable=column.nullable) for name, column in CLEAN_COLUMNS.items()},
    strict=True,
    unique=_ENCOUNTER,
)


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that some of a batch's rows break."""

    rule: str  # without the value, to be counted by
    complaints: Mapping[int, str]  # what is wrong, by the row's place in the batch


def broken_rules(rows: pd.DataFrame) -> list[BrokenRule]:
    """Every rule of the contract that rows of a batch break, in the order of its columns; uniqueness comes last.

    `rows` holds the columns of the contract, `data_kind` and `row_number` as texts, in the order of delivery, with an
    index from 0.
    """
    broken = []
    for name, failed in _failures(RAW_SCHEMA, rows):
        rule, values = COLUMNS[name], rows[name].to_list()
        # One text for each wrong value, however many rows hold it.
        said = {value: f"{name}: {rule.violation(value)}" for value in {values[place] for place in failed}}
        broken.append(BrokenRule(f"{name}: not {rule.expected}", {place: said[values[place]] for place in failed}))
    invalid = {place for one in broken for place in one.complaints}
    valid = rows.drop(index=sorted(invalid))
    for _, repeated in _failures(RAW_UNIQUENESS, valid):
        broken.append(BrokenRule(f"encounter_id: {_REPEATED}", _superseded(valid, repeated)))
    return broken


def reasons(broken: Iterable[BrokenRule]) -> dict[int, str]:
    """Of each invalid row, by its place in the batch, everything that is wrong with it."""
    found: dict[int, list[str]] = {}
    for one in broken:
        for place, complaint in one.complaints.items():
            found.setdefault(place, []).append(complaint)
    return {place: "; ".join(complaints) for place, complaints in found.items()}


def report_of(rows: pd.DataFrame, broken: Sequence[BrokenRule]) -> Report:
    """The report on a batch; `broken` are the `broken_rules` of its `rows`."""
    valid = rows.drop(index=sorted({place for one in broken for place in one.complaints}))
    classes, splits = valid["readmitted"].value_counts(), valid["split"].value_counts()
    return Report(
        rows=len(rows),
        cleaned=len(valid),
        quarantined=len(rows) - len(valid),
        rules={one.rule: len(one.complaints) for one in broken},
        missing={name: int(rows[name].isin([MISSING, _NOT_MEASURED.get(name, MISSING)]).sum()) for name in COLUMNS},
        classes={name: int(classes.get(name, 0)) for name in CLASSES},
        splits={name: int(splits.get(name, 0)) for name in SPLITS},
    )


def check_clean(rows: Sequence[Sequence[object]], batch_id: str) -> None:
    """Hold the rows made of a batch, each with the values of `CLEAN_COLUMNS`, to their schema.

    Raises `CleanRowInvalid` with every rule that one of them breaks, and a value that does.
    """
    try:
        CLEAN_SCHEMA.validate(pd.DataFrame(rows, columns=list(CLEAN_COLUMNS), dtype=object), lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.drop_duplicates(["column", "check"]).itertuples()
        said = "; ".join(f"{case.column}: {case.failure_case!r}: {case.check}" for case in cases)
        raise CleanRowInvalid(f"batch {batch_id}: a clean row breaks its schema, which is a bug: {said}") from errors


def _failures(schema: pa.DataFrameSchema, rows: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Of each check that fails, its column, and the index of the rows that fail it."""
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        if any(not isinstance(error.check_output, pd.Series) for error in errors.schema_errors):
            raise  # no matter of values: the table itself is not what the schema is for
        return [
            (str(error.column_name), error.check_output.index[~error.check_output.astype(bool)].tolist())
            for error in errors.schema_errors
        ]
    return []


def _superseded(rows: pd.DataFrame, places: list[int]) -> dict[int, str]:
    """What is wrong with the rows at these places, each followed by another of the same encounter."""
    last = rows.drop_duplicates(_ENCOUNTER, keep="last").set_index(_ENCOUNTER)["row_number"]
    return {
        place: f"encounter_id: {encounter} occurs again in row {last[kind, encounter]} of the same batch,"
        " which is the one that counts"
        for place, kind, encounter in rows.loc[places, _ENCOUNTER].itertuples(name=None)
    }
