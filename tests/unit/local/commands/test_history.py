import getpass
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.local import aws, settings
from infra.local.commands import history
from infra.local.errors import LocalError
from infra.local.stack import Stack

ROOT = Path(__file__).parents[4]
STACK = Stack(
    "api", "key", "https://localhost", "token", "arn:aws:states:::stateMachine:readmission-pipeline", "bucket", {}
)


class FakeLambda:
    """Answers like Lambda and records its invocations."""

    def __init__(self, answer: Any, error: str | None = None) -> None:
        self.answer = {"Payload": io.BytesIO(json.dumps(answer).encode())} | ({"FunctionError": error} if error else {})
        self.invocations: list[dict[str, Any]] = []

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.invocations.append(arguments)
        return self.answer


def with_answer(monkeypatch: pytest.MonkeyPatch, answer: Any, error: str | None = None) -> FakeLambda:
    fake = FakeLambda(answer, error)
    monkeypatch.setattr(aws, "client", lambda *_: fake)
    return fake


def test_each_decision_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = {
        "decided_at": "2026-11-24T09:00:00.123+00:00",
        "version": "2",
        "previous_version": None,
        "decision": "promoted",
        "reason": "it is the first",
        "metrics": {"challenger": {"log_loss": 0.87}, "test": {"rows": 14617}},
        "decided_by": None,
        "forced": False,
    }
    with_answer(monkeypatch, [line])
    said = history.history(settings.load({}), STACK, 5).splitlines()
    assert said[1].split(maxsplit=9) == [
        *("2026-11-24", "09:00:00", "2", "-", "promoted", "-", "0.8700", "-", "14,617"),
        "it is the first",
    ]


def test_the_log_losses_of_a_comparison_are_side_by_side_and_not_to_be_compared_with_those_of_other_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = {
        "decided_at": "2026-11-24T09:00:00.123+00:00",
        "version": "2",
        "previous_version": "1",
        "decision": "promoted",
        "reason": "better",
        "metrics": {"challenger": {"log_loss": 0.874}, "incumbent": {"log_loss": None}, "test": {"rows": 900}},
        "decided_by": None,
        "forced": False,
    }
    with_answer(monkeypatch, [{**line, "metrics": {}}, line])
    said = history.history(settings.load({}), STACK, 5)
    assert "0.8740    -         900        better" in said
    assert "not those of different lines" in said


def test_a_forced_rollback_names_who_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    line = {
        "decided_at": "2026-11-24T09:00:00.123+00:00",
        "version": "1",
        "previous_version": "2",
        "decision": "rolled back",
        "reason": "a complaint",
        "metrics": {},
        "decided_by": "ada",
        "forced": True,
    }
    with_answer(monkeypatch, [line])
    assert "rolled back, forced  ada" in history.history(settings.load({}), STACK, 5)


def test_an_empty_ledger_says_how_to_promote_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with_answer(monkeypatch, [])
    assert "make pipeline" in history.history(settings.load({}), STACK, 5)


def test_a_rollback_names_the_version_now_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_answer(monkeypatch, {"version": "1", "previous_version": "2", "reason": "asked for"})
    request = history.rollback_request("1", "a complaint", "ada", force=False)
    said = history.rollback(settings.load({}), STACK, request)
    assert said.splitlines()[0] == "Version 1 is in production again. It replaces version 2."
    assert json.loads(fake.invocations[0]["Payload"]) == {
        "rollback": {"version": "1", "reason": "a complaint", "by": "ada", "force": False}
    }


@pytest.mark.parametrize(
    ("arguments", "environment", "forced"),
    [(["FORCE=1"], {}, True), (["FORCE=0"], {}, False), ([], {"FORCE": "1"}, False)],
    ids=["asked for", "not asked for", "in the environment"],
)
def test_a_rollback_is_forced_only_on_the_command_line(
    arguments: list[str], environment: dict[str, str], forced: bool
) -> None:
    said = subprocess.run(
        ["make", "-n", "rollback", "REASON=x", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("--force" in said) is forced and "--reason 'x'" in said


@pytest.mark.parametrize("reason", [None, "", " "])
def test_a_rollback_without_a_reason_is_not_asked_for(reason: str | None) -> None:
    with pytest.raises(LocalError, match="REASON="):
        history.rollback_request("1", reason, "ada", force=True)


def test_a_rollback_is_in_the_name_of_the_user_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "grace")
    assert history.rollback_request(None, "why", None, force=True)["by"] == "grace"
    assert history.rollback_request(None, "why", "ada", force=True)["by"] == "ada"


def test_a_user_without_a_name_is_told_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no username")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(LocalError, match="BY="):
        history.rollback_request(None, "why", None, force=False)


def test_a_refusal_of_the_function_is_shown_with_its_error_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with_answer(monkeypatch, {"errorType": "InvalidRequest", "errorMessage": "version 9 cannot be served"}, "Unhandled")
    with pytest.raises(LocalError, match="InvalidRequest: version 9 cannot be served"):
        history.rollback(settings.load({}), STACK, {"version": "9"})


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no such function"}}, "Invoke"),
            "no such function. Deploy the application again: make deploy",
        ),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "did not answer.*make status"),
    ],
)
def test_a_function_that_cannot_be_invoked_gives_a_readable_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    class Away:
        def invoke(self, **_: Any) -> None:
            raise error

    monkeypatch.setattr(aws, "client", lambda *_: Away())
    with pytest.raises(LocalError, match=says):
        history.history(settings.load({}), STACK, 5)
