"""What loading a file would do with its rows."""

from datetime import date

from readmission.pipeline import source_check

from tests.unit.readmission.builders import fields, numbered

DAY = date(2026, 3, 1)


def said(rows: list[list[str]], batch_size: int = 15_000) -> list[str]:
    return list(source_check.lines(source_check.check(rows, DAY, batch_size=batch_size), 0.02))


def test_valid_rows_are_counted() -> None:
    assert said(numbered(7)) == ["7 rows"]


def test_rows_that_would_go_to_quarantine_are_counted_by_rule_across_batches() -> None:
    rows = numbered(100)
    for place in (3, 14, 15, 98):
        rows[place][4] = "57"
    count, rule, first, verdict = said(rows, batch_size=10)
    assert count == "100 rows"
    assert rule.startswith("4 go to quarantine: age: not one of [0-10)")
    assert first.startswith("    first in rows 4, 15, 16: age: '57' is not one of")
    assert verdict == "4 rows would be in quarantine, 4.00%: more than the 2.00% allowed"


def test_a_number_outside_its_range_refuses_its_batch() -> None:
    _, rule, first, remedy = said([*numbered(3), fields(encounter_id="9", num_medications="")])
    assert rule == "1 refuse their batch: num_medications: not a whole number from 0 to 500"
    assert first == "    first in rows 4: num_medications: '' is not a whole number from 0 to 500"
    assert remedy.startswith("Nothing of a batch is loaded")


def test_a_row_that_repeats_another_counts_once() -> None:
    assert said([*numbered(2), *numbered(1)]) == [
        "3 rows",
        "1 of them repeat another row in all fields, and count once",
    ]


def test_an_empty_test_result_is_valid() -> None:
    assert said([fields(max_glu_serum="", A1Cresult="")]) == ["1 rows"]


def test_dates_after_today_would_go_to_quarantine() -> None:
    found = source_check.check([[*fields(), "2026-03-02"]], DAY, ["discharge_date"])
    assert list(found.findings) == ["discharge_date: after the day of the delivery"]


def test_stays_that_uci_does_not_have_are_counted() -> None:
    rows = [fields(encounter_id=str(days + 1), time_in_hospital=str(days)) for days in (0, 1, 14, 15, 200)]
    _, stays = said(rows)
    assert stays == "2 stays of more than 14 days and 1 of less than one are valid, but UCI's data has none"
