"""The deliveries of the example: who is in which month, which month differs, and which labels are due."""

from collections import Counter
from datetime import date, timedelta

import pytest
from readmission.domain.contract import COLUMNS, LABEL_DUE_DAYS, NAMES, IntegerRange, check_rows
from readmission.pipeline import synthetic

from infra.local.commands import months
from infra.local.commands.months import ORDERS, SHIFTED, Order, Row

ROWS = list(synthetic.rows(600, seed=3))
PATIENT, ENCOUNTER, LABEL = (NAMES.index(name) for name in ("patient_nbr", "encounter_id", "readmitted"))
CHANGED = [NAMES.index(name) for name in ("num_medications", "payer_code")]


def _column(rows: list[Row] | tuple[Row, ...], place: int) -> list[str]:
    return [row[place] for row in rows]


@pytest.mark.parametrize("order", ORDERS)
def test_every_encounter_is_in_one_month(order: Order) -> None:
    found = [one for month in months.split(ROWS, 1, order) for one in _column(month, ENCOUNTER)]
    assert Counter(found) == Counter(_column(ROWS, ENCOUNTER)) and len(set(found)) == len(ROWS)


def test_all_stays_of_a_patient_are_in_one_month_of_about_the_same_size() -> None:
    split = months.split(ROWS, 1, "patients")
    patients = [set(_column(month, PATIENT)) for month in split]
    assert sum(map(len, patients)) == len(set(_column(ROWS, PATIENT)))
    assert len(split) == months.MONTHS and all(70 < len(month) < 130 for month in split)


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_seed_makes_the_same_months_whatever_the_order_of_the_rows(order: Order) -> None:
    assert months.split(ROWS, 1, order) == months.split(ROWS[::-1], 1, order)
    assert (months.split(ROWS, 1, order) == months.split(ROWS, 2, order)) is (order == "time")


def test_by_time_the_months_follow_the_numbers_of_the_encounters() -> None:
    split = months.split(ROWS[::-1], 1, "time")
    found = [int(one) for month in split for one in _column(month, ENCOUNTER)]
    assert found == sorted(found) and {len(month) for month in split} == {100}


@pytest.mark.parametrize("order", ORDERS)
def test_only_the_fifth_month_is_shifted(order: Order) -> None:
    original = {row[ENCOUNTER]: row for row in ROWS}
    for number, month in enumerate(months.split(ROWS, 1, order), start=1):
        differing = {
            place for row in month for place, value in enumerate(row) if value != original[row[ENCOUNTER]][place]
        }
        assert differing == (set(CHANGED) if number == SHIFTED else set())


def test_a_shifted_row_has_twice_the_medications_up_to_the_largest_number_and_another_payer() -> None:
    medications, payer = CHANGED
    row = list(ROWS[0])
    rule = COLUMNS["num_medications"]
    assert isinstance(rule, IntegerRange)
    largest = str(rule.high)
    for before, after in (("7", "14"), ("81", "162"), (largest, largest)):
        row[medications] = before
        shifted = months.shifted(row)
        assert (shifted[medications], shifted[payer]) == (after, "MC")
        check_rows([shifted], 1, "here")
    assert row[medications] == largest


@pytest.mark.parametrize("month", range(1, months.MONTHS + 1))
def test_labels_are_due_only_in_the_later_delivery_of_the_same_stays(month: int) -> None:
    split = months.split(ROWS, 1, "patients")
    first, later = (months.delivery(split, month, labelled=labelled) for labelled in (False, True))
    due = timedelta(days=LABEL_DUE_DAYS)
    for row, again in zip(first.rows, later.rows, strict=True):
        discharged = date.fromisoformat(row[-1])
        assert discharged < first.taken_on < discharged + due <= later.taken_on
        assert row[LABEL] == "NO" and row[:LABEL] == again[:LABEL] and row[-1] == again[-1]
    assert [row[:-1] for row in later.rows] == split[month - 1]
    assert first.file_name != later.file_name or month == 1


def test_months_come_in_order_and_each_label_after_its_stay() -> None:
    assert months.SCHEDULE[0] == (1, True)
    rest = months.SCHEDULE[1:]
    stays = [month for month, labelled in rest if not labelled]
    assert stays == sorted(stays) == list(range(2, months.MONTHS + 1))
    assert all(rest.index((month, False)) < rest.index((month, True)) for month in stays)
    assert rest.index((SHIFTED + 1, False)) < rest.index((SHIFTED, True))


def test_no_delivery_is_taken_before_the_one_before_it_by_month() -> None:
    split = months.split(ROWS, 1, "patients")
    days = [months.delivery(split, month, labelled=labelled).taken_on for month, labelled in months.SCHEDULE[1:]]
    assert max(days) < date(2026, 1, 1) and days == sorted(days)


def test_encounters_for_the_api_have_no_label_and_no_date() -> None:
    last = months.delivery(months.split(ROWS, 1, "patients"), 6, labelled=False)
    found = list(months.encounters(last, 5))
    assert [one["encounter_id"] for one in found] == _column(last.rows[-5:], ENCOUNTER)
    assert set(found[0]) == set(NAMES) - {"readmitted"}
