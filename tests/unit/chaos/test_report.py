import json

from tests.chaos import report
from tests.chaos.runner import Outcome

HELD = Outcome("kill-mlflow (Train)", 1, "forecasts go on", "execution succeeded", 12.34)
BROKEN = Outcome("kill-predict", 2, "one request fails", "nothing was lost", 3.0, ["2 of 9 requests failed"])
MISSED = Outcome("kill-check", 1, "the run succeeds", "not brought about: too fast", injected=False)


def test_the_table_has_what_was_promised_what_came_and_the_seconds() -> None:
    lines = report.text([HELD, BROKEN], [], seed=7).splitlines()
    assert lines[0].split() == ["FAULT", "PROMISED", "CAME", "RECOVERED", "IN"]
    assert [lines[1].index(part) for part in ("forecasts go on", "execution succeeded", "12.3 s")] == [
        lines[0].index(head) for head in report.HEADER[1:]
    ]
    assert "kill-predict, round 2" in lines[2] and "BROKEN: nothing was lost" in lines[2]
    assert "kill-predict, round 2: 2 of 9 requests failed" in lines
    assert lines[-1] == "2 faults, 1 promises held, 1 broken. Repeat with SEED=7"


def test_the_line_of_a_fault_says_what_is_broken() -> None:
    assert report.line(HELD).count("\n") == 0
    assert report.line(BROKEN).splitlines()[1].strip() == "2 of 9 requests failed"


def test_what_did_not_happen_is_said() -> None:
    lines = report.text([HELD, MISSED], ["full-disk", "kill-plan"], seed=7).splitlines()
    assert "Not run: full-disk, kill-plan" in lines
    assert lines[-1] == "1 faults, 1 promises held, 0 broken; 1 could not be brought about. Repeat with SEED=7"


def test_the_exit_code_is_0_only_if_every_promise_is_known_to_hold() -> None:
    assert report.exit_code([HELD]) == 0
    assert report.exit_code([HELD, BROKEN]) == 1
    assert report.exit_code([HELD, MISSED]) == 1
    assert report.exit_code([]) == 1


def test_the_document_has_the_same() -> None:
    document = json.loads(report.document([BROKEN], ["full-disk"], seed=7))
    assert (document["seed"], document["not_run"]) == (7, ["full-disk"])
    assert document["faults"] == [
        {
            "fault": "kill-predict",
            "round": 2,
            "promised": "one request fails",
            "came": "nothing was lost",
            "seconds_to_recover": 3.0,
            "injected": True,
            "held": False,
            "broken": ["2 of 9 requests failed"],
        }
    ]
