"""`make example-months`: what it refuses, that it takes up where it was, and what it says of the monitor's document."""

from pathlib import Path
from typing import Any

import pytest
from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic

from infra.local import settings
from infra.local.commands import dataset, example_months, months, pipeline
from infra.local.commands.example_months import SITE, Hospital
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters
from infra.local.settings import Settings
from infra.local.stack import Stack
from tests.poison import table
from tests.unit.ui import monitored
from tests.unit.ui.fakes import PIPELINE

ROWS = list(synthetic.rows(600, seed=3))


class Platform:
    """Takes the place of S3, the state machine and the functions."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []

    def upload(self, _: Settings, __: Stack, file: Path) -> str:
        return f"s3://bucket/{file.name}"

    def run(self, _: Settings, __: Stack, request: dict[str, Any], *, silent: bool) -> dict[str, Any]:
        assert silent
        self.requests.append(request)
        if "source" in request:
            line = {"delivery_id": f"run-{len(self.requests)}", "status": "accepted"}
            self.lines.insert(0, line | {"source": request["source"], "site": request["site"]})
            return {}
        return {"promotion": {"version": "1", "decision": "promoted", "reason": "version 1 is the first"}}

    def invoke(self, _: Settings, function: str, event: dict[str, Any]) -> Any:
        return self.lines if "deliveries" in event else None


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    return settings.load({"LOCAL_DIR": str(tmp_path)})


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    monkeypatch.setattr(dataset, "upload", platform.upload)
    monkeypatch.setattr(pipeline, "run", platform.run)
    monkeypatch.setattr(example_months, "invoke", platform.invoke)
    return platform


@pytest.fixture
def hospital(loaded: Settings, platform: Platform) -> Hospital:
    stack = Stack("id", "key", "https://localhost:1/v1", "token", PIPELINE, "bucket", {}, {})
    hospital = Hospital(loaded, stack, months.split(ROWS, 1, "patients"), "synthetic")
    hospital.send_files()
    return hospital


def test_each_delivery_says_what_it_is_and_when_it_was_taken(hospital: Hospital, platform: Platform) -> None:
    for month, labelled in months.SCHEDULE[:3]:
        hospital.deliver(month, labelled=labelled)
    common = {"site": SITE, "by": "make example-months", "data_kind": "synthetic", "stop_after": "clean"}
    assert platform.requests == [
        {"source": "s3://bucket/month-1.csv", "taken_on": "2025-03-02", **common},
        {"source": "s3://bucket/month-2.csv", "taken_on": "2025-03-02", **common},
        {"source": "s3://bucket/month-2-labels.csv", "taken_on": "2025-04-01", **common},
    ]
    assert hospital.delivered == {1: "run-1", 2: "run-2"}


def test_what_has_been_delivered_is_not_delivered_again(hospital: Hospital, platform: Platform) -> None:
    hospital.deliver(1, labelled=True)
    platform.lines.insert(0, platform.lines[0] | {"delivery_id": "refused", "status": "refused"})
    hospital.delivered.clear()
    hospital.deliver(1, labelled=True)
    assert len(platform.requests) == 1 and hospital.delivered == {1: "run-1"}


def test_a_platform_with_other_data_is_refused_with_the_way_out(hospital: Hospital, platform: Platform) -> None:
    hospital.deliver(1, labelled=True)
    hospital.check_platform()
    platform.lines.append({"delivery_id": "old", "site": "default", "source": "x", "status": "withdrawn"})
    hospital.check_platform()
    platform.lines.append({"delivery_id": "other", "site": SITE, "source": "x", "status": "accepted"})
    with pytest.raises(LocalError, match=r"already has 1 other deliveries(.|\n)*LOCAL_DIR="):
        hospital.check_platform()


def test_the_trial_needs_parameters_which_are_added_to_those_that_were_chosen(
    loaded: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.create_directories()
    parameters.keep(loaded, {"PatientHistory": "on"})
    for _ in range(2):
        example_months._choose_parameters(loaded)
    assert parameters.kept(loaded) == {"PatientHistory": "on", **example_months.PARAMETERS}
    assert capsys.readouterr().out.count("to deploy as before: make deploy PARAMETERS='PatientHistory=on'") == 1


def test_a_version_that_is_not_tried_ends_the_example(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    hospital.try_out(hospital.train("the model"))
    said = capsys.readouterr().out
    assert "version 1: promoted" in said and "because version 1 is the first" in said and "nothing to try" in said


def _document() -> dict[str, Any]:
    document = monitored.document()
    for window in document["windows"]:
        window["name"] = window["name"].replace("execution", "run")
    return document


def test_the_summary_has_alerts_estimates_and_whether_the_truth_was_within(hospital: Hospital) -> None:
    hospital.document = _document()
    hospital.delivered = {month: f"run-{month}" for month in range(1, 7)}
    head, *lines = (line.split("  ") for line in hospital.summary().splitlines())
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert [line[0] for line in cells] == ["2", "3", "4", "5 (shifted)", "6"]
    assert cells[0][2:] == ["none", "0.670 (0.650 to 0.690)", "0.668 (0.638 to 0.698)", "yes"]
    assert cells[3][2:] == [
        "ALERT input drift: num_medications, payer_code; ALERT new categories: payer_code; ALERT delivery quality:"
        " columns: num_medications, payer_code",
        "0.620 (0.600 to 0.640)",
        "not known",
        "-",
    ]
    assert head[0] == "MONTH"


def test_a_month_of_which_the_monitor_says_nothing_is_named(hospital: Hospital) -> None:
    hospital.document, hospital.delivered = _document(), {2: "gone"}
    with pytest.raises(LocalError, match="says nothing of month 2, delivery gone"):
        hospital.window(2)


def test_a_file_is_read_with_its_kind(loaded: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_months, "FEWEST_ROWS", 600)
    file = tmp_path / "stays.csv"
    file.write_bytes(table(ROWS))
    assert example_months.read(loaded, str(file)) == (ROWS, "real")
    assert example_months.read(loaded, "synthetic:rows=600,seed=3") == (ROWS, "synthetic")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "DATASET: "),
        (table(ROWS), "DATASET: .* has 600 rows; the example needs 3,000 or more"),
        (
            table([[*ROWS[0][: NAMES.index("num_medications")], "x", *ROWS[0][NAMES.index("num_medications") + 1 :]]]),
            "x",
        ),
    ],
    ids=["other-columns", "few-rows", "no-number"],
)
def test_a_data_set_that_cannot_be_used_is_refused(loaded: Settings, tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "stays.csv"
    file.write_bytes(content)
    with pytest.raises(LocalError, match=said):
        example_months.read(loaded, str(file))
