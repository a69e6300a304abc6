"""The pipeline's state machine with functions that misbehave, one in place of all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from readmission.pipeline import executions
from readmission.pipeline.executions import Execution

from statemachines import generate
from tests.integration.localstack.server import Function, Server, wait_for

# *plan* returns the execution's input. *train* reads from the name of the model how often it is to do what, and counts
# in a file. *ingest* answers with too much. *report* fails if the name of the model says so, and for every card.
# Asked for earlier models, *promote* answers what the name of the model says, one answer each time; the last one stays.
SOURCE = """
import json, os, pathlib, time

def handler(event, context):
    if "input" in event:
        return event["input"]
    if "batch" in event:
        # More than a state may pass on.
        return {"batch": event["batch"], "added": "a" * 300_000}
    if "earlier" in event:
        assert event["execution"] in [one["Name"] for one in event["earlier"]["running"]]
        wish = json.loads(event["earlier"]["models"][0])
        asked = pathlib.Path(wish["file"] + ".asked")
        asked.parent.mkdir(exist_ok=True)
        asked.open("a").write(".")
        return wish["earlier"][min(len(asked.read_text()), len(wish["earlier"])) - 1]
    if "candidates" in event:
        names = "decision", "reason", "model", "version", "production_version"
        return {name: json.dumps(event["candidates"]) if name == "reason" else name for name in names}
    if event.get("task") == "card":
        raise RuntimeError("no card today")
    wish = json.loads(event["model"])
    if event.get("task") == "plots":
        if wish["plots"]:
            return {}
        raise RuntimeError("no plots today")
    tries = pathlib.Path(wish["file"])
    tries.open("a").write(".")
    if len(tries.read_text()) <= wish["times"]:
        if wish["does"] == "exit":
            os._exit(1)
        time.sleep(20)
    return {"model": event["model"], "mlflow_run_id": "run"}
"""


@pytest.fixture
def run(server: Server, deploy: Callable[..., Function]) -> Callable[..., Execution]:
    """`run(plan, state_seconds, function_seconds, seconds)`: the ended execution with that plan and limits of time.

    They are those of the training's state, of the function and of the whole execution.
    """

    def execute(
        plan: dict[str, Any], state_seconds: int = 30, function_seconds: int = 30, seconds: int = 60
    ) -> Execution:
        function = deploy(SOURCE, Timeout=function_seconds)
        lambdas = server.client("lambda")
        arn = lambdas.get_function(FunctionName=function.name)["Configuration"]["FunctionArn"]
        definition = json.loads(generate.definition()) | {"TimeoutSeconds": seconds}
        for name, state in _tasks(definition).items():
            state["Parameters"]["FunctionName"] = arn
            if name == "Train":
                state["TimeoutSeconds"] = state_seconds
        machines = server.client("stepfunctions")
        machine = machines.create_state_machine(
            name=f"machine-{function.name}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::000000000000:role/machine",
        )["stateMachineArn"]
        execution = executions.start(machines, machine, plan)

        def ended() -> Execution | None:
            found = executions.describe(machines, execution)
            return None if found.status == executions.RUNNING else found

        found: Execution = wait_for(ended, "the execution to end", seconds=60)
        machines.delete_state_machine(stateMachineArn=machine)
        return found

    return execute


def _tasks(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    states = dict(definition["States"])
    for state in definition["States"].values():
        for inner in (state.get("ItemProcessor", {}), *state.get("Branches", ())):
            states |= inner.get("States", {})
    return {name: state for name, state in states.items() if state.get("Resource") == "arn:aws:states:::lambda:invoke"}


def earlier(outcome: str, **changes: Any) -> dict[str, Any]:
    return {"outcome": outcome, "execution": None, "wait_seconds": 0, "candidates": [], "promotion": None} | changes


def model(does: str, times: int, file: Path, plots: bool = True, answers: Sequence[dict[str, Any]] = ()) -> str:
    """The name of a model whose training does something the first times it runs.

    `answers` are those to the question for earlier models.
    """
    wish = {"does": does, "times": times, "file": str(file), "plots": plots}
    return json.dumps({**wish, "earlier": [*answers] or [earlier("train")]})


def plan(does: str, times: int, file: Path, **changes: Any) -> dict[str, Any]:
    """A plan of one training that does something the first times it runs."""
    wish = model(does, times, file)
    fields = {"data_kind": "real", "manifest": "", "batches": [], "models": [wish], "by": None, "force": False}
    fields |= {"started_by": "person", "skipped": None}
    return {**fields, "start_at": "train", "stop_after": "train", **changes}


def test_a_step_whose_process_is_killed_runs_again(run: Callable[..., Execution], tmp_path: Path) -> None:
    found = run(plan("exit", 2, tmp_path / "tries"))
    assert (found.status, found.error) == ("SUCCEEDED", None)
    assert (tmp_path / "tries").read_text() == "..."


def test_a_step_whose_process_is_always_killed_fails_by_name(run: Callable[..., Execution], tmp_path: Path) -> None:
    found = run(plan("exit", 100, tmp_path / "tries"))
    assert (found.step, found.error) == ("train", "Runtime.ExitError")
    assert "Runtime exited with error: exit status 1" in (found.message or "")
    assert (tmp_path / "tries").read_text() == "..."


@pytest.mark.parametrize("limits", [{"state_seconds": 3}, {"function_seconds": 3}], ids=["state", "function"])
def test_a_step_that_exceeds_its_time_limit_is_named(
    run: Callable[..., Execution], tmp_path: Path, limits: dict[str, int]
) -> None:
    found = run(plan("hang", 1, tmp_path / "tries"), **limits)
    assert (found.step, found.error) == ("train", "StepTimedOut")
    assert found.message == "it did not end within its time limit"


def test_a_plan_that_exceeds_its_time_limit_or_lacks_a_field_is_named(
    run: Callable[..., Execution], tmp_path: Path
) -> None:
    incomplete = plan("hang", 0, tmp_path / "tries")
    del incomplete["manifest"]
    found = run(incomplete)
    assert (found.step, found.error) == ("plan", "StepFailed")
    assert "States." in (found.message or "") and "manifest" in (found.message or "")


def test_an_error_of_step_functions_in_a_batch_is_named_with_the_step(
    run: Callable[..., Execution], tmp_path: Path
) -> None:
    found = run(plan("", 0, tmp_path, batches=[1], start_at="ingest", stop_after="ingest"))
    assert (found.step, found.error) == ("ingest", "StepFailed")
    assert (found.message or "").startswith("States.DataLimitExceeded: ")


def test_a_family_that_fails_does_not_keep_the_others_from_the_promotion(
    run: Callable[..., Execution], tmp_path: Path
) -> None:
    killed, trained = model("exit", 100, tmp_path / "killed"), model("exit", 0, tmp_path / "trained")
    found = run(plan("", 0, tmp_path, models=[killed, trained], stop_after="promote"))
    assert (found.status, found.decision) == ("SUCCEEDED", "decision")
    first, second = json.loads(found.output["promotion"]["reason"])
    assert (first["model"], first["failure"]["Error"]) == (killed, "Runtime.ExitError")
    assert second == {"model": trained, "mlflow_run_id": "run"}
    family, card = found.shortfalls
    assert (family.what, family.error, family.family) == ("family", "Runtime.ExitError", killed)
    assert (card.what, card.error, card.message) == ("card", "RuntimeError", "no card today")


def test_plots_that_fail_leave_the_training_a_candidate(run: Callable[..., Execution], tmp_path: Path) -> None:
    undrawn, drawn = model("exit", 0, tmp_path / "one", plots=False), model("exit", 0, tmp_path / "other")
    found = run(plan("", 0, tmp_path, models=[undrawn, drawn]))
    assert (found.status, found.error) == ("SUCCEEDED", None)
    assert [one.get("mlflow_run_id") for one in found.output["candidates"]] == ["run", "run"]
    (plots,) = found.shortfalls
    assert (plots.what, plots.error, plots.message, plots.family) == (
        "plots",
        "RuntimeError",
        "no plots today",
        undrawn,
    )


def test_an_execution_that_is_skipped_ends_at_once_and_says_why(run: Callable[..., Execution], tmp_path: Path) -> None:
    found = run(plan("exit", 100, tmp_path / "tries", start_at="ingest", stop_after="promote", skipped="too soon"))
    assert (found.status, found.skipped, "candidates" in found.output) == ("SUCCEEDED", "too soon", False)
    assert not (tmp_path / "tries").exists()


KNOWN = [{"model": "random_forest", "mlflow_run_id": "earlier"}]
DECISION = {"decision": "refused", "reason": "no better", "model": "random_forest", "version": "2"}


def test_models_that_exist_are_not_trained_again_and_their_decision_stands(
    run: Callable[..., Execution], tmp_path: Path
) -> None:
    answer = earlier("decided", execution="first", candidates=KNOWN, promotion=DECISION)
    wish = model("exit", 100, tmp_path / "tries", answers=[answer])
    found = run(plan("", 0, tmp_path, models=[wish], stop_after="promote"))
    assert (found.status, found.decision, found.decided_by_execution) == ("SUCCEEDED", "refused", "first")
    assert (found.output["candidates"], found.output["promotion"]) == (KNOWN, DECISION)
    assert not (tmp_path / "tries").exists() and "running" not in found.output


def test_models_that_exist_without_a_decision_are_promoted(run: Callable[..., Execution], tmp_path: Path) -> None:
    wish = model("exit", 100, tmp_path / "tries", answers=[earlier("trained", candidates=KNOWN)])
    found = run(plan("", 0, tmp_path, models=[wish], stop_after="promote"))
    assert (found.decision, found.decided_by_execution) == ("decision", None)
    assert json.loads(found.output["promotion"]["reason"]) == KNOWN
    assert not (tmp_path / "tries").exists()


def test_an_execution_waits_while_another_trains_the_same(run: Callable[..., Execution], tmp_path: Path) -> None:
    answers = [*2 * [earlier("wait", execution="other", wait_seconds=1)], earlier("trained", candidates=KNOWN)]
    found = run(plan("", 0, tmp_path, models=[model("exit", 100, tmp_path / "tries", answers=answers)]))
    assert (found.status, found.output["candidates"]) == ("SUCCEEDED", KNOWN)
    assert (tmp_path / "tries.asked").read_text() == "..."


def test_an_execution_that_takes_too_long_times_out(run: Callable[..., Execution], tmp_path: Path) -> None:
    found = run(plan("hang", 100, tmp_path / "tries"), seconds=5)
    assert found.status == "TIMED_OUT"
