"""The state machine of scoring jobs matches the errors, the payloads and the function that it refers to."""

import json
from typing import Any, get_type_hints

import pytest
from readmission import errors
from readmission.domain import jobs

from statemachines import generate
from tests.unit.templates import RESOURCES

TEXT = generate.target("score").read_text()
MACHINE = json.loads(TEXT)
STATES = MACHINE["States"]
INNER = STATES["Score chunks"]["ItemProcessor"]["States"]
TASKS = {name: state for name, state in (STATES | INNER).items() if state["Type"] == "Task"}
EVENTS = {"Plan": jobs.PlanEvent, "Score": jobs.ChunkEvent, "Finish": jobs.FinishEvent}
RESULTS: dict[str, Any] = {"Plan": jobs.JobPlan, "Score": jobs.ChunkResult}


def test_the_json_file_is_up_to_date() -> None:
    assert generate.definition("score") == TEXT


def test_every_definition_is_generated() -> None:
    folder = generate.target("score").parent
    assert {one.name for one in folder.glob("*.asl.yaml")} == {f"{name}.asl.yaml" for name in generate.MACHINES}


@pytest.mark.parametrize("name", EVENTS)
def test_a_step_gets_the_fields_of_its_event(name: str) -> None:
    assert {field.removesuffix(".$") for field in TASKS[name]["Parameters"]["Payload"]} == set(
        get_type_hints(EVENTS[name])
    )


@pytest.mark.parametrize("name", RESULTS)
def test_a_step_passes_on_fields_of_its_result(name: str) -> None:
    fields = {path.removeprefix("$.Payload.") for path in TASKS[name]["ResultSelector"].values()}
    assert fields <= set(get_type_hints(RESULTS[name]))


@pytest.mark.parametrize("name", TASKS)
def test_what_may_pass_is_retried(name: str) -> None:
    (passing, killed) = TASKS[name]["Retry"]
    named = {one for one in passing["ErrorEquals"] if not one.startswith("Lambda.")}
    transient = {error.__name__ for error in errors.Transient.__subclasses__()}
    assert named == transient | {"ModelUnavailable", "PatientKeyUnavailable"}
    assert killed["ErrorEquals"] == ["Runtime.ExitError"]


@pytest.mark.parametrize("name", TASKS)
def test_a_step_has_as_long_as_the_function(name: str) -> None:
    assert TASKS[name]["TimeoutSeconds"] == RESOURCES["ScoreFunction"]["Properties"]["Timeout"]


def test_the_machine_ends_when_a_job_counts_as_failed() -> None:
    assert MACHINE["TimeoutSeconds"] == jobs.JOB_SECONDS


def test_every_substitution_is_one_of_the_template() -> None:
    assert set(RESOURCES["ScoreMachine"]["Properties"]["DefinitionSubstitutions"]) == {"ScoreFunctionArn"}
    assert {task["Parameters"]["FunctionName"] for task in TASKS.values()} == {"${ScoreFunctionArn}"}


def test_the_errors_that_the_machine_itself_fails_with_are_ours() -> None:
    for state in (STATES | INNER).values():
        if state["Type"] == "Fail" and "Error" in state:
            assert issubclass(getattr(errors, state["Error"]), errors.ReadmissionError)
