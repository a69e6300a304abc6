"""The six deliveries of `make example-months`: how the rows of a data set become months of a hospital.

Everything here is a function of the rows, the seed and the order, so that the same example makes the same files. UCI's
rows have no dates: the months are invented, and only say which labels are due.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, Literal

from readmission.domain.contract import COLUMNS, DISCHARGE_DATE, NAMES, IntegerRange

type Order = Literal["patients", "time"]
type Row = list[str]

ORDERS: Final[tuple[Order, ...]] = ("patients", "time")
MONTHS: Final = 6
SHIFTED: Final = 5
"""The month whose data differ."""
SCHEDULE: Final = (
    (1, True),
    (2, False),
    (2, True),
    (3, False),
    (3, True),
    (4, False),
    (4, True),
    (SHIFTED, False),
    (6, False),
    (SHIFTED, True),
    (6, True),
)
"""The deliveries in the order in which they come: month, and whether its labels are due.

The first one has its labels, so that there is something to learn from. Those of a later month come when it has long
ended; those of the shifted one come after the alarm.
"""
HEADER: Final = (*NAMES, DISCHARGE_DATE)
_BEGIN: Final = date(2025, 1, 1)
_DAYS: Final = 30
_DISCHARGES: Final = 28  # days of a month, from its second, with discharges: when it ends, no label is due yet
_NOT_YET: Final = "NO"
_PAYER: Final = "MC"
_PLACE: Final = {name: place for place, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that the hospital sends: the stays of a month, or later the same stays with what became of them.

    `month` counts from 1. `rows` have the columns `HEADER`. `labelled` is whether the labels are due.
    """

    month: int
    labelled: bool
    taken_on: date
    rows: tuple[Row, ...]

    @property
    def file_name(self) -> str:
        return f"month-{self.month}{'-labels' if self.labelled and self.month > 1 else ''}.csv"


def delivery(months: Sequence[Sequence[Row]], month: int, *, labelled: bool) -> Delivery:
    """The delivery of a month, of the rows that `split` has made."""
    begin = _begin(month)
    rows = months[month - 1]
    dated = tuple(
        _dated(row, begin + timedelta(days=1 + place * _DISCHARGES // len(rows)), labelled=labelled)
        for place, row in enumerate(rows)
    )
    return Delivery(month, labelled, taken_on(month, labelled=labelled), dated)


def taken_on(month: int, *, labelled: bool) -> date:
    """The day on which the hospital takes the delivery from its records: when the month ends, or a month later."""
    return _begin(month) + timedelta(days=_DAYS * (2 if labelled else 1))


def _begin(month: int) -> date:
    return _BEGIN + timedelta(days=_DAYS * (month - 1))


def split(rows: Iterable[Row], seed: int, order: Order) -> list[list[Row]]:
    """The rows of each month, in the order of their encounters; those of month `SHIFTED` are shifted.

    By `patients`, all stays of a patient are in one month, and the patients of a month are drawn by the seed, so that
    the months differ by chance only. By `time`, the months follow the numbers of the encounters, which rise with time.
    """
    ordered = sorted(rows, key=lambda row: int(row[_PLACE["encounter_id"]]))
    months = _by_patients(ordered, seed) if order == "patients" else _by_time(ordered)
    months[SHIFTED - 1] = [shifted(row) for row in months[SHIFTED - 1]]
    return months


def shifted(row: Row) -> Row:
    """The row as after a change of the site's software: medications count twice, and every patient has one payer."""
    changed = list(row)
    place = _PLACE["num_medications"]
    rule = COLUMNS["num_medications"]
    assert isinstance(rule, IntegerRange)
    changed[place] = str(min(rule.high, 2 * int(row[place])))
    changed[_PLACE["payer_code"]] = _PAYER
    return changed


def _by_patients(rows: Sequence[Row], seed: int) -> list[list[Row]]:
    patients = sorted({row[_PLACE["patient_nbr"]] for row in rows})
    random.Random(seed).shuffle(patients)
    month_of = {patient: place * MONTHS // len(patients) for place, patient in enumerate(patients)}
    months: list[list[Row]] = [[] for _ in range(MONTHS)]
    for row in rows:
        months[month_of[row[_PLACE["patient_nbr"]]]].append(row)
    return months


def _by_time(rows: Sequence[Row]) -> list[list[Row]]:
    bounds = [len(rows) * number // MONTHS for number in range(MONTHS + 1)]
    return [list(rows[low:high]) for low, high in pairwise(bounds)]


def _dated(row: Row, discharged_on: date, *, labelled: bool) -> Row:
    dated = list(row[: len(NAMES)])
    if not labelled:
        dated[_PLACE["readmitted"]] = _NOT_YET
    return [*dated, discharged_on.isoformat()]


def encounters(delivery: Delivery, count: int) -> Iterator[dict[str, str]]:
    """The last stays of a delivery as the API takes them in UCI's columns, without the label."""
    for row in delivery.rows[-count:]:
        yield {name: value for name, value in zip(NAMES, row, strict=False) if name != "readmitted"}
