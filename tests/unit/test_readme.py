"""README.md says what the code says."""

import re
import subprocess
from pathlib import Path

import pytest
from readmission import errors
from readmission.domain.payloads import STAGES, Plan
from readmission.telemetry.metrics import METRICS

from tests.unit.templates import TEMPLATE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def cells(heading: str) -> list[list[str]]:
    """The rows of all tables below a heading, up to the next heading of its level."""
    level = heading.split()[0]
    body = re.split(rf"\n#{{1,{len(level)}}} ", README.split(f"\n{heading}\n", 1)[1])[0]
    rows = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_every_make_command_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`([^`\n]+)`|^    (.*)$|^(eval .*)$", README, re.MULTILINE)
    mentioned = {name for parts in code for part in parts for name in re.findall(r"\bmake (?:-s )?([a-z-]+)", part)}
    assert mentioned and mentioned <= targets


def test_make_help_lists_every_target() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert {line.split()[0] for line in said.splitlines()} == set(phony[1].split())


def test_the_metrics_table_tells_every_metric_as_it_is_written() -> None:
    told = [tuple(row) for row in cells("## Metrics") if len(row) == 5][2:]
    assert told == [
        (
            f"`{metric.name}`",
            metric.kind,
            "" if metric.unit == "None" else metric.unit.lower(),
            ", ".join(metric.services),
            ", ".join(f"`{name}`" for name in metric.dimensions),
        )
        for metric in METRICS
    ]


def test_the_error_table_lists_every_error_of_the_pipeline_and_which_are_tried_again() -> None:
    served = {
        "ExplanationUnavailable",
        "MetricsUnavailable",
        "ModelUnavailable",
        "ScorerInvalid",
        "TokenUnavailable",
    }  # errors of the functions behind the gateway, which answer them themselves
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    named_errors = {kind.__name__ for kind in kinds} - {"ReadmissionError", "Transient"} - served
    rows = cells("### What can go wrong")
    assert set().union(*(named(row[0]) for row in rows)) == named_errors
    again = set().union(*(named(row[0]) for row in rows if row[2] == "yes"))
    assert again == {kind.__name__ for kind in errors.Transient.__subclasses__()}


def test_the_parameter_table_lists_every_parameter_of_the_template() -> None:
    rows = [row for row in cells("## The template") if len(row) == 3]
    listed = set().union(*(named(row[0]) for row in rows))
    assert set(TEMPLATE["Parameters"]) == {name for name in listed if not name.isupper() and name[0] != "_"}


@pytest.mark.parametrize(
    "name",
    [
        "MaxInvalidShare",
        "MaxTrainingRows",
        "ModelRefreshSeconds",
        "DailyQuota",
        "CorsAllowOrigins",
        "SnapStart",
        "Architecture",
    ],
)
def test_the_parameter_table_tells_the_templates_defaults(name: str) -> None:
    (default,) = [row[1].strip("`") for row in cells("## The template") if name in named(row[0])]
    assert default == str(TEMPLATE["Parameters"][name]["Default"])


def test_the_parameter_table_tells_the_throttles() -> None:
    parameters = TEMPLATE["Parameters"]
    (default,) = [row[1] for row in cells("## The template") if "ThrottleRate" in named(row[0])]
    assert default == f"{parameters['ThrottleRate']['Default']}, {parameters['ThrottleBurst']['Default']}"


def test_the_states_table_lists_every_field_of_the_plan() -> None:
    (row,) = [row for row in cells("## The pipeline") if row[0] == "Plan"]
    assert named(row[3]) == set(Plan.__annotations__)


def test_the_input_table_names_every_step() -> None:
    rows = {next(iter(named(row[0])), ""): row for row in cells("## The pipeline")}
    for field in ("start_at", "stop_after"):
        assert named(" ".join(rows[field][1:])) >= set(STAGES)


def test_every_relative_link_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links and all((ROOT / link).is_file() for link in links)
