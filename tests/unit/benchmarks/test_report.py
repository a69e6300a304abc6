import json

from tests.benchmarks import report
from tests.benchmarks.report import Figure

ABOUT = {"machine": "a laptop", "command": "make bench"}


def test_the_table_says_what_holds_and_what_does_not() -> None:
    figures = {
        "row_14": Figure(1.2, 12.0, 10.0),
        "row_14_p95": Figure(2.0, 20.0, 10.0),
        "scorer": Figure(0.15, 9.0, 60.0),
        "cold": Figure(0.7, 2.1, 3.0),
    }
    lines = report.table(figures, ABOUT).splitlines()
    assert lines[:2] == ["- machine: a laptop", "- command: make bench"]
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[5:]}
    assert cells == {
        "handler, one row of the 14 fields, p50": ["1.20 ms", "12.0 ms", "10.0", "≤ 1.5 ms, 5 times less", "yes"],
        "handler, one row of the 14 fields, p95": ["2.00 ms", "20.0 ms", "10.0", "", ""],
        "the scorer in it, p50": ["0.150 ms", "9.00 ms", "60.0", "≤ 0.1 ms", "NO"],
        "cold start, process start to first answer": ["0.700 s", "2.10 s", "3.0", "≤ 0.8 s, 4 times less", "NO"],
    }


def test_two_runs_are_compared_by_their_json() -> None:
    before, after = (
        json.loads(json.dumps(report.document({"rss": Figure(ours, 400.0, 400 / ours)}, ABOUT))) for ours in (100, 80)
    )
    assert before == {"about": ABOUT, "figures": {"rss": {"ours": 100, "peer": 400.0, "ratio": 4.0}}}
    line = report.comparison(before, after).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        "memory of the warm process",
        "100.0 MB",
        "80.0 MB",
        "-20%",
        "4.0",
        "5.0",
    ]
