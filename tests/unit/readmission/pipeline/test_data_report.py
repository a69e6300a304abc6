import pytest
from readmission.pipeline.data_report import Report, document, metrics, total


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


def test_the_rule_that_is_broken_most_often_comes_first() -> None:
    assert list(total(REPORTS.values())["rules"].items()) == [("gender", 3), ("age", 2)]


def test_adding_up_leaves_the_reports_as_they_are() -> None:
    total(REPORTS.values())
    assert REPORTS["a"] == _report(10, 2, gender=2)


def test_the_document_holds_all_batches_and_their_total_with_shares() -> None:
    found = document(REPORTS)
    assert list(found["batches"]) == ["a", "b"]
    assert found["batches"]["a"]["quarantined_share"] == 0.2
    assert found["batches"]["a"]["missing_share"] == {"weight": 1.0, "race": 0.2}
    assert found["total"]["quarantined_share"] == 0.125
    assert found["total"]["class_share"] == {"NO": 1.0, ">30": 0.0, "<30": 0.0}


def test_the_metrics_are_of_all_batches_together() -> None:
    assert metrics(REPORTS) == {
        "data_batches": 2,
        "data_rows": 40,
        "data_quarantined": 5,
        "data_quarantined_share": 0.125,
    }


@pytest.mark.parametrize("reports", [{}, {"a": _report(0)}], ids=["no batch", "no rows"])
def test_of_no_rows_no_share_is_quarantined(reports: dict[str, Report]) -> None:
    assert metrics(reports)["data_quarantined_share"] == 0
    assert document(reports)["total"]["quarantined_share"] == 0
