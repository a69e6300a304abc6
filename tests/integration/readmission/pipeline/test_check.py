import pytest
from readmission.errors import BatchMissing, TooManyInvalidRows

from tests.integration.readmission.conftest import Stores, changed, delivery_of


def _with_invalid(rows: list[list[str]], *indices: int) -> list[list[str]]:
    return [changed(row, age="?") if index in indices else row for index, row in enumerate(rows)]


def test_a_run_within_the_limit_continues_with_the_counts_of_its_batches(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(_with_invalid(rows, 3, 30), batch_size=15)
    stores.ingest(planned)
    stores.clean_batches(planned)
    assert stores.check(planned, 0.05) == {"rows": 40, "cleaned": 38, "quarantined": 2, "duplicates": 0}


def test_a_run_above_the_limit_stops_and_says_which_rules_are_broken_and_where_the_rows_are(
    stores: Stores, rows: list[list[str]]
) -> None:
    rows = _with_invalid(rows, 3, 30)
    for count, column in enumerate(("race", "insulin", "change", "gender"), start=5):
        for row in range(10, 10 + count):
            rows[row] = changed(rows[row], **{column: ""})
    planned = stores.deliver(rows, batch_size=15)
    stores.ingest(planned)
    stores.clean_batches(planned)
    with pytest.raises(TooManyInvalidRows) as raised:
        stores.check(planned, 0.2)
    said = str(raised.value)
    assert said.startswith(
        f"{planned['source']}, delivery {delivery_of(planned)}: 10 of 40 rows (25.00%) break the data contract"
    )
    assert "more than the share of 0.2 that MaxInvalidShare allows" in said
    lines = said.split("\n")[1:-1]
    assert lines[:2] == [
        "gender: not one of Female, Male, Unknown/Invalid: 8 rows (11, 12, 13, 14, 15, …)",
        "change: not one of Ch, No: 7 rows (11, 12, 13, 14, 15, …)",
    ]
    assert [line.partition(":")[0] for line in lines] == ["gender", "change", "insulin", "race", "age"]
    assert "The table quarantine in the database clean" in said


def test_only_the_runs_own_batches_count(stores: Stores, rows: list[list[str]]) -> None:
    stores.load(_with_invalid(rows[:10], *range(10)))
    planned = stores.deliver(rows[10:])
    stores.ingest(planned)
    stores.clean_batches(planned)
    assert stores.check(planned, 0) == {"rows": 30, "cleaned": 30, "quarantined": 0, "duplicates": 0}


def test_a_run_without_rows_continues(stores: Stores) -> None:
    assert stores.check(stores.plan(start_at="clean"), 0) == {
        "rows": 0,
        "cleaned": 0,
        "quarantined": 0,
        "duplicates": 0,
    }


def test_checking_again_gives_the_same_result(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(_with_invalid(rows, 3))
    stores.ingest(planned)
    for _ in range(2):
        stores.clean_batches(planned)
        assert stores.check(planned, 0.05) == {"rows": 40, "cleaned": 39, "quarantined": 1, "duplicates": 0}


def test_a_batch_that_was_not_cleaned_is_named(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(rows)
    stores.ingest(planned)
    with pytest.raises(BatchMissing, match=r"batch 1 \([0-9a-f]{24}\) has no report; run the pipeline from 'clean'"):
        stores.check(planned, 1)
