import csv
import io
from pathlib import Path

from tests.load import report
from tests.load.capacity import Climb, Held, Objective

OBJECTIVE = Objective(100, 0)


def held(users: int, rate: float, p95: float, confirms: bool = False) -> Held:
    return Held(users, 900, 0, rate, 20.0, 15.0, p95, 140.0, 200, 800.0, 0.25, confirms, {"batch": 77.0})


KNEE = held(60, 58.8, 40.0, confirms=True)
CLIMBS = [
    Climb([held(60, 58.8, 40.0), held(70, 60.0, 300.0), KNEE], KNEE, False),
    Climb([held(60, 30.0, 101.0)], None, False),
]


def test_the_knee_is_reported_with_its_spread_and_littles_law() -> None:
    lines = report.knees(CLIMBS, think=1.0)
    assert lines[0] == ("Sustained within the objective: **29.4 requests a second** (median of 2; 0.0 to 58.8).")
    assert "60 users, 58.8/s" in lines[1] and "accounts for 60.0 users." in lines[1]
    assert lines[2] == "Climb 2: no number of users met the objective."


def test_the_report_says_when_locust_was_too_slow() -> None:
    slow = held(60, 30.0, 40.0)
    (line,) = report.knees([Climb([slow], slow, True)], think=1.0)[1:]
    assert "30.6 users, so Locust did not keep up; the objective was never missed" in line


def test_every_hold_is_a_line_of_the_table_and_of_the_csv() -> None:
    text = report.table(CLIMBS, {"machine": "a laptop"}, OBJECTIVE, 1.0)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [(row[0], row[1], row[-1]) for row in rows[2:]] == [
        ("1", "60", "yes"),
        ("1", "70", "NO"),
        ("1, confirming", "60", "yes"),
        ("2", "60", "NO"),
    ]
    lines = list(csv.DictReader(io.StringIO(report.csv_of(CLIMBS, OBJECTIVE))))
    assert [(line["climb"], line["users"], line["meets"]) for line in lines][1] == ("1", "70", "False")
    assert (lines[0]["settling_slowest"], lines[0]["p95_batch"], lines[0]["p95_health"]) == ("800.0", "77.0", "")
    assert rows[2][rows[0].index("batch p95 ms")] == "77"


def test_all_forms_are_written_and_the_page_needs_no_other_file(tmp_path: Path) -> None:
    said = report.write(tmp_path, CLIMBS, {"command": "<b>"}, OBJECTIVE, 1.0)
    assert {file.name for file in tmp_path.iterdir()} == {"load.md", "load.csv", "load.png", "load.html"}
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "load.html").read_text()
    assert "data:image/png;base64," in page and "&lt;b&gt;" in page and "<b>" not in page
    assert str(tmp_path) in said
