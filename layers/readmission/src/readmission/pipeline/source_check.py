"""Says what loading a file would do with its rows, by the rules of *clean*, without loading anything."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import batched
from typing import Final

from readmission.domain.contract import (
    COLUMNS,
    DISCHARGE_DATE,
    NAMES,
    NOT_MEASURED,
    OPTIONAL_COLUMNS,
    TESTS,
    IntegerRange,
)
from readmission.domain.payloads import DEFAULT_BATCH_SIZE
from readmission.pipeline import quality

FIRST_ROWS: Final = 3
_REFUSES: Final = {f"{name}: not {rule.expected}" for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange)}


@dataclass(slots=True)
class Finding:
    """A rule that rows break: how many, what is wrong with the first of them, and the numbers of the first ones.

    `refuses` is whether one such row keeps its whole batch from being loaded.
    """

    rule: str
    example: str
    refuses: bool
    count: int = 0
    first_rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Checked:
    """What a file has: its rows, those that would be in quarantine or repeat another one, and the broken rules.

    `long` and `short` are stays of more than 14 days and of none: UCI's data, which the models were first trained on,
    has neither.
    """

    rows: int = 0
    quarantined: int = 0
    repeated: int = 0
    long: int = 0
    short: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def refuses(self) -> bool:
        return any(one.refuses for one in self.findings.values())


def check(
    rows: Iterable[Sequence[str]],
    day: date,
    optional: Sequence[str] = (),
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Checked:
    """Check rows of the contract that would be delivered on `day`, batch by batch, in bounded memory.

    `optional` names the optional columns that they have, at the latest when the first row has been read.
    """
    found = Checked()
    for chunk in batched(rows, batch_size, strict=False):
        # What *ingest* keeps of rows that are equal in all fields: the first.
        numbers: dict[tuple[str, ...], int] = {}
        for number, row in enumerate(chunk, start=found.rows + 1):
            numbers.setdefault(tuple(row), number)
        found.rows += len(chunk)
        found.repeated += len(chunk) - len(numbers)
        columns = columns_of(list(numbers), list(numbers.values()), day, optional)
        broken = quality.broken_rules(columns)
        found.quarantined += len(quality.invalid_rows(broken))
        for one in broken:
            _add(found, one, list(numbers.values()))
        stays = [int(text) for text in columns["time_in_hospital"] if text.isascii() and text.isdigit()]
        found.long += sum(days > 14 for days in stays)
        found.short += stays.count(0)
    return found


def columns_of(
    rows: Sequence[Sequence[str]], numbers: Sequence[int], day: date, optional: Sequence[str] = ()
) -> quality.Columns:
    """The rows by column, as *clean* reads them."""
    columns: dict[str, Sequence[str]] = dict(zip((*NAMES, *optional), zip(*rows, strict=True), strict=True))
    for name in TESTS:
        columns[name] = [value or NOT_MEASURED for value in columns[name]]
    return {
        **{name: [""] * len(rows) for name in OPTIONAL_COLUMNS},
        **columns,
        "data_kind": ["real"] * len(rows),
        "row_number": [str(number) for number in numbers],
        "delivered_at": [day.isoformat()] * len(rows),
        "dated": ["t" if DISCHARGE_DATE in optional else "f"] * len(rows),
    }


def _add(found: Checked, broken: quality.BrokenRule, numbers: Sequence[int]) -> None:
    indices = sorted(broken.violations)
    finding = found.findings.setdefault(
        broken.rule, Finding(broken.rule, broken.violations[indices[0]], broken.rule in _REFUSES)
    )
    finding.count += len(indices)
    finding.first_rows += [numbers[index] for index in indices[: FIRST_ROWS - len(finding.first_rows)]]


def lines(found: Checked, max_share: float) -> Iterator[str]:
    """What to tell the person who has asked; `max_share` is the largest share of rows that may be in quarantine."""
    yield f"{found.rows:,} rows"
    if found.repeated:
        yield f"{found.repeated:,} of them repeat another row in all fields, and count once"
    for one in sorted(found.findings.values(), key=lambda one: (not one.refuses, -one.count)):
        what = "refuse their batch" if one.refuses else "go to quarantine"
        yield f"{one.count:,} {what}: {one.rule}"
        yield f"    first in rows {', '.join(map(str, one.first_rows))}: {one.example}"
    if found.long or found.short:
        yield (
            f"{found.long:,} stays of more than 14 days and {found.short:,} of less than one are valid, but UCI's data"
            " has none"
        )
    if found.refuses:
        yield "Nothing of a batch is loaded that has a number outside its range. Mend these rows or columns first."
    share = found.quarantined / found.rows if found.rows else 0.0
    if found.quarantined and not found.refuses:
        verdict = "more than" if share > max_share else "no more than"
        yield f"{found.quarantined:,} rows would be in quarantine, {share:.2%}: {verdict} the {max_share:.2%} allowed"
