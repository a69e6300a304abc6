from typing import Any

from tests.chaos.system import has_invoked


def entered(name: str) -> dict[str, Any]:
    return {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name}}


STARTED = {"type": "TaskStarted"}


def test_a_step_works_once_its_function_is_invoked() -> None:
    history = [entered("Plan"), STARTED, {"type": "TaskStateExited"}, entered("Ingest")]
    assert has_invoked(history, "Plan")
    assert not has_invoked(history, "Ingest")
    assert has_invoked([*history, STARTED], "Ingest")
    assert not has_invoked(history, "Clean")
