import pytest

from tests.chaos import facts
from tests.chaos.facts import Line
from tests.chaos.system import Run
from tests.unit.chaos.builders import FIRST, NEW, OLD, RUN, after, answer, before

SINCE = [answer(9)]
INGEST = Run(RUN.arn, RUN.request, "ingest")


def test_a_run_that_promotes_breaks_no_promise() -> None:
    found = [facts.kept(before(), after()), facts.whole_batches(before(), after(), RUN)]
    assert [*found, facts.complete(before(), after(), RUN), facts.decided(after(), RUN)] == [[], [], [], []]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"raw": NEW}, "1 batches in raw no longer have the rows that they had"),
        ({"raw": {"old": 5999}}, "1 batches in raw no longer have the rows that they had"),
        ({"ledger": (Line(2, "2", "promoted", None),)}, "lines of the promotion ledger changed or are gone"),
        ({"versions": frozenset({"2"})}, "versions are gone: ['1']"),
        ({"patients_in_two_splits": 3}, "3 patients are in two splits"),
        ({"production": "1", "served": "1", "probabilities": before().probabilities},
         "version 1 is in production, but the ledger says 2"),
        ({"served": "3"}, "the API serves version 3, not 2"),
    ],
)  # fmt: skip
def test_what_no_fault_may_change_is_named(changes: dict[str, object], sentence: str) -> None:
    assert facts.kept(before(), after(**changes)) == [sentence]


def test_a_version_has_to_answer_what_it_answered_before() -> None:
    found = facts.kept(before(), before(probabilities={"<30": 0.11, ">30": 0.29, "NO": 0.6}))
    assert found == ["version 1 answers other probabilities than before"]


def test_a_refusal_does_not_move_production() -> None:
    refused = (FIRST, Line(2, "2", "refused", RUN.name))
    assert facts.kept(before(), before(ledger=refused, versions=frozenset({"1", "2"}))) == []


def test_a_batch_of_which_only_a_part_was_written_is_named() -> None:
    found = facts.whole_batches(before(), after(raw=OLD | NEW | {"b": 256}), RUN)
    assert found == ["half-written batches in raw, with [256] of 1000 rows"]


def test_lost_and_doubled_rows_are_counted() -> None:
    assert facts.complete(before(), after(raw=OLD | {"a": 1000, "b": 1000}, clean={"a": 1000, "b": 1000}), RUN) == [
        "2000 rows in raw, not 3000",
        "2000 rows in clean and quarantine, not 3000",
    ]
    doubled = after(raw=OLD | NEW | {"d": 1000}, clean=NEW)
    assert facts.complete(before(), doubled, RUN) == ["4000 rows in raw, not 3000"]


def test_rows_in_quarantine_are_not_lost() -> None:
    assert facts.complete(before(), after(clean=NEW | {"a": 990}, quarantine={"a": 10}), RUN) == []


def test_after_the_ingest_alone_no_row_has_to_be_clean() -> None:
    assert facts.complete(before(), after(clean=OLD), INGEST) == []


def test_an_execution_decides_exactly_once() -> None:
    assert facts.decided(before(), RUN) == ["0 ledger lines of execution second, not 1"]
    twice = after(ledger=(FIRST, Line(2, "2", "promoted", RUN.name), Line(3, "2", "refused", RUN.name)))
    assert facts.decided(twice, RUN) == ["2 ledger lines of execution second, not 1"]
    assert facts.decided(after(), INGEST) == ["1 ledger lines of execution second, not 0"]


def test_a_version_that_nobody_decided_on_is_named() -> None:
    assert facts.decided(after(versions=frozenset({"1", "2", "3"})), RUN) == ["versions without a decision: ['3']"]


def test_a_run_in_mlflow_that_has_not_ended_is_named() -> None:
    found = facts.decided(after(training=frozenset({RUN.name})), RUN)
    assert found == ["MLflow has a run of execution second that has not ended"]


def test_what_is_refused_leaves_nothing_behind() -> None:
    assert facts.unchanged(before(), before()) == []
    assert facts.unchanged(before(), after()) == [
        "the rows in raw changed",
        "the rows in clean changed",
        "a version was registered",
        "the promotion ledger changed",
    ]


def test_failed_requests_count_up_to_the_number_that_is_allowed() -> None:
    during = [answer(1), answer(2, 502, "status 502, not 200")]
    assert facts.answered(during, SINCE, None) == facts.answered(during, SINCE, 1) == []
    assert facts.answered(during, SINCE, 0) == ["1 of 2 requests failed, such as predict: status 502, not 200"]


def test_a_wrong_answer_is_never_allowed() -> None:
    wrong = [answer(1, 200, 'no "early_risk" in the answer')]
    sentence = '1 wrong answers, such as predict: no "early_risk" in the answer'
    assert facts.answered(wrong, SINCE, None) == facts.answered([], wrong, None) == [sentence]


def test_without_a_request_after_the_recovery_nothing_is_known() -> None:
    assert facts.answered([], [], None) == ["no request was sent after the recovery"]


def test_after_the_recovery_every_request_is_answered() -> None:
    late = [answer(9, 0, "status none, not 200")]
    assert facts.answered([], late, None) == [
        "1 requests failed after the recovery, such as predict: status none, not 200"
    ]
