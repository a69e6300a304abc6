import json
from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.report import Figure

PYFUNC = "mlflow.pyfunc"
ABOUT = {"machine": "a laptop", "command": "make bench"}


def test_the_table_shows_which_thresholds_are_met() -> None:
    figures = {
        "row_14": Figure(1.2, 12.0, 10.0),
        "ingest_psql": Figure(60_000, 100_000, 0.6),
        "growth_ingest": Figure(0.9, of=(1.5, 4.0, 12.0)),
        "pipeline_share": Figure(12.0),
        "row_14_p95": Figure(2.0, 20.0, 10.0),
        "scorer": Figure(0.15, 9.0, 60.0),
        "cold": Figure(0.7, 2.1, 3.0),
    }
    lines = report.table(figures, ABOUT).splitlines()
    assert lines[:2] == ["- machine: a laptop", "- command: make bench"]
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[5:]}
    assert cells == {
        "handler, one row of the 14 fields, p50": [
            "1.20 ms",
            PYFUNC,
            "12.0 ms",
            "10.0",
            "≤ 1.5 ms, 5 times less",
            "yes",
        ],
        "handler, one row of the 14 fields, p95": ["2.00 ms", PYFUNC, "20.0 ms", "10.0", "", ""],
        "scorer only, p50": ["0.150 ms", PYFUNC, "9.00 ms", "60.0", "≤ 0.1 ms", "NO"],
        "cold start, process start to first answer": [
            *("0.700 s", PYFUNC, "2.10 s"),
            *("3.0", "≤ 0.8 s, 4 times less", "NO"),
        ],
        "ingest, warm": [
            *("60,000 rows/s", r"psql \copy, one file", "100,000 rows/s"),
            *("0.60", "0.5 times as much", "yes"),
        ],
        "ingest: exponent of time over rows": [
            *("0.900", "rows x 1, 3, 10", "1.50, 4.00, 12.0 s"),
            *("", "≤ 1.05", "yes"),
        ],
        "share of the warm execution in which no function runs": ["12.0 %", "", "", "", "≤ 15 %", "yes"],
    }


def test_two_runs_are_compared_by_their_json() -> None:
    before, after = (
        json.loads(json.dumps(report.document({"rss": Figure(ours, 400.0, 400 / ours)}, ABOUT))) for ours in (100, 80)
    )
    assert before == {"about": ABOUT, "figures": {"rss": {"ours": 100, "peer": 400.0, "ratio": 4.0, "of": []}}}
    after["about"] |= {"machine": "a server"}
    first, *_, line = report.comparison(before, after).splitlines()
    assert first == "- machine: a laptop → a server"
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        "memory of a warm process",
        PYFUNC,
        "100.0 MB",
        "80.0 MB",
        "-20%",
        "4.0",
        "5.0",
    ]


def test_a_figure_in_one_of_two_runs_has_an_empty_comparison() -> None:
    before, after = ({"about": ABOUT, "figures": figures} for figures in ({}, {"rss": {"ours": 80, "peer": None}}))
    line = report.comparison(before, after).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("memory of a warm process", PYFUNC, "", "80.0 MB", "", "", ""),
    ]


def test_a_missed_threshold_is_named() -> None:
    figures = {"cold": Figure(0.7, 2.1, 3.0), "scorer": Figure(0.05), "growth_plan": Figure(1.2)}
    broken = report.broken(figures, ["prediction", "growth"])
    assert "cold start, process start to first answer, against mlflow.pyfunc: ≤ 0.8 s, 4 times less" in broken
    assert "plan: exponent of time over rows: ≤ 1.05" in broken
    assert not any(one.startswith("scorer only") for one in broken)


def test_a_figure_that_was_not_measured_misses_its_threshold() -> None:
    assert report.broken({"pipeline_first_share": Figure(3.0)}, ["pipeline"]) == [
        "share of the warm execution in which no function runs: ≤ 15 %"
    ]


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}", '{"about": {}}'])
def test_a_file_that_is_not_a_result_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=r"file\.json was not written by make bench"):
        report.read(path)


def test_every_figure_has_a_name_of_its_own() -> None:
    names = [row.name for row in report.ROWS]
    assert len(set(names)) == len(names)


def test_a_row_shows_all_its_thresholds_and_has_to_meet_each() -> None:
    row = report.Row("rate", "requests", "/s", least=60, ratio=2, peer="it", more=True)
    assert row.threshold() == "≥ 60 /s, 2 times as much"
    holds = [row.holds(figure) for figure in (Figure(60, 30, 2), Figure(59, 1, 59), Figure(60, 31, 1.9), Figure(60))]
    assert holds == [True, False, False, False]
