import pytest
from readmission.pipeline.data_report import Report, document, faults, metrics, total


def _report(rows: int, quarantined: int = 0, **rules: int) -> Report:
    clean = rows - quarantined
    return Report(
        rows=rows,
        cleaned=clean,
        quarantined=quarantined,
        rules=rules,
        missing={"weight": rows, "race": quarantined},
        classes={"NO": clean, ">30": 0, "<30": 0},
        splits={"train": clean, "validation": 0, "test": 0},
    )


REPORTS = {"b": _report(30, 3, age=2, gender=1), "a": _report(10, 2, gender=2)}


def test_reports_add_up() -> None:
    found = total(REPORTS.values())
    assert (found["rows"], found["cleaned"], found["quarantined"]) == (40, 35, 5)
    assert found["missing"] == {"weight": 40, "race": 5}
    assert found["classes"] == {"NO": 35, ">30": 0, "<30": 0}
    assert found["splits"] == {"train": 35, "validation": 0, "test": 0}


def test_the_rule_broken_most_often_comes_first() -> None:
    assert list(total(REPORTS.values())["rules"].items()) == [("gender", 3), ("age", 2)]


def test_there_is_a_line_for_each_rule_with_its_first_rows() -> None:
    first = _report(30, 3, age=8, gender=1) | {"first_rows": {"age": [9, 11, 12, 20, 21], "gender": [4]}}
    second = _report(10, 2, gender=2) | {"first_rows": {"gender": [31, 35]}}
    assert faults([second, first]) == ["age: 8 rows (9, 11, 12, 20, 21, …)", "gender: 3 rows (4, 31, 35)"]


def test_a_report_of_an_earlier_release_has_no_row_numbers() -> None:
    assert faults([_report(30, 3, age=2), _report(10, 1, gender=1)]) == ["age: 2 rows", "gender: 1 row"]


def test_adding_up_does_not_change_the_reports() -> None:
    total(REPORTS.values())
    assert REPORTS["a"] == _report(10, 2, gender=2)


def test_the_document_has_all_batches_and_their_total_with_shares() -> None:
    found = document(REPORTS)
    assert list(found["batches"]) == ["a", "b"]
    assert found["batches"]["a"]["quarantined_share"] == 0.2
    assert found["batches"]["a"]["missing_share"] == {"weight": 1.0, "race": 0.2}
    assert found["total"]["quarantined_share"] == 0.125
    assert found["total"]["class_share"] == {"NO": 1.0, ">30": 0.0, "<30": 0.0}


def test_reports_of_an_earlier_release_add_up_with_new_ones() -> None:
    found = total([_report(10), {**_report(5), "rows": 7, "duplicates": 2}])
    assert (found["rows"], found["duplicates"], found["profile"]["rows"]) == (17, 2, 0)


def test_the_document_lists_the_deliveries_and_no_profile() -> None:
    found = document(REPORTS, [{"delivery": "run-1"}])
    assert found["deliveries"] == [{"delivery": "run-1"}]
    assert "profile" not in found["total"] and "profile" not in found["batches"]["a"]


def test_the_metrics_cover_all_batches() -> None:
    assert metrics(REPORTS) == {
        "data_batches": 2,
        "data_rows": 40,
        "data_quarantined": 5,
        "data_quarantined_share": 0.125,
    }


@pytest.mark.parametrize("reports", [{}, {"a": _report(0)}], ids=["no batch", "no rows"])
def test_the_quarantined_share_of_zero_rows_is_zero(reports: dict[str, Report]) -> None:
    assert metrics(reports)["data_quarantined_share"] == 0
    assert document(reports)["total"]["quarantined_share"] == 0
