import json
from typing import Any

import pytest

from infra.local import settings
from infra.local.commands import challenger
from infra.local.errors import LocalError
from tests.unit.local.commands.test_history import STACK, with_answer

EVIDENCE: dict[str, Any] = {
    "errors": {},
    "agreement": 0.97,
    "correlation": 0.912,
    "shifts": {"<30": {"value": 0.0012, "low": 0.0002, "high": 0.0022}},
    "estimated": {"challenger": 0.8712, "production": 0.8723},
    "realised": None,
    "difference": None,
    "labels": 12,
    "forecasts": 1500,
}
STATE = {
    "version": "4",
    "production_version": "3",
    "decision": "canaried",
    "since": "2026-11-27T09:00:00+00:00",
    "canary_share": 0.1,
    "reason": "it did well",
    "by": "guard",
    "needed": 2000,
    "evidence": EVIDENCE,
    "summary": "…",
    "objection": None,
}
REPLAY = {
    "version": "4",
    "forecasts": 1500,
    "answered_by": {"3": 1500},
    "evidence": EVIDENCE,
    "summary": "…",
    "objection": None,
    "inputs_not_logged": [],
    "rows_per_second": 31000,
}


def _said(text: str, name: str) -> str:
    """The line that begins with this name, without it."""
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()


def test_the_state_says_what_is_tried_and_how_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_answer(monkeypatch, STATE)
    said = challenger.state(settings.load({}), STACK)
    assert json.loads(fake.invocations[0]["Payload"]) == {"challenger": {}}
    assert _said(said, "stage") == "is a canary: it answers 10% of the patients, since 2026-11-27T09:00:00+00:00"
    assert _said(said, "forecasts") == "1,500 logged of 2,000 for the next step"
    assert _said(said, "mean <30") == "+0.0012 [+0.0002, +0.0022]"
    assert _said(said, "objection") == "none"


def test_without_a_challenger_the_state_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_answer(monkeypatch, None)
    assert challenger.state(settings.load({}), STACK).startswith("No version is tried on live requests.")


def test_a_version_is_tried_in_the_name_of_the_one_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_answer(monkeypatch, {"version": "4", "production_version": "3"})
    asked = challenger.request("4", "a trial", "Ada", force=True)
    assert "beside version 3" in challenger.challenge(settings.load({}), STACK, asked)
    assert json.loads(fake.invocations[0]["Payload"]) == {
        "challenge": {"version": "4", "reason": "a trial", "by": "Ada", "force": True}
    }


def test_the_challenger_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_answer(monkeypatch, {"version": "4", "production_version": "3"})
    said = challenger.abort(settings.load({}), STACK, challenger.abort_request("a complaint", "Ada"))
    assert said.startswith("Version 4 is tried no more. Version 3 answers all patients")
    assert json.loads(fake.invocations[0]["Payload"]) == {"abort": {"reason": "a complaint", "by": "Ada"}}


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_decision_without_a_reason_is_refused(reason: str | None) -> None:
    with pytest.raises(LocalError, match="needs a reason"):
        challenger.request("4", reason, "Ada", force=False)
    with pytest.raises(LocalError, match="needs a reason"):
        challenger.abort_request(reason, "Ada")


def test_a_replay_shows_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = with_answer(monkeypatch, REPLAY)
    said = challenger.replay(settings.load({}), STACK, "4", 1500)
    assert json.loads(fake.invocations[0]["Payload"]) == {"replay": {"version": "4", "limit": 1500}}
    assert _said(said, "forecasts") == "1,500, answered by version 3: 1,500"
    assert _said(said, "expected") == "log loss 0.8712 against 0.8723"
    assert _said(said, "realised") == "12 outcomes are known, too few to tell"
    assert _said(said, "speed") == "31,000 rows a second"


def test_a_replay_says_what_the_log_lacks_and_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = {"value": -0.001, "low": -0.002, "high": 0.0}
    losses = {"challenger": 0.87, "production": 0.871}
    evidence = {**EVIDENCE, "realised": losses, "difference": difference, "errors": {"ScorerInvalid": 2}}
    with_answer(monkeypatch, {**REPLAY, "evidence": evidence, "inputs_not_logged": ["a_new_input"]})
    said = challenger.replay(settings.load({}), STACK, "4", None)
    assert _said(said, "unknown") == "inputs that the log lacks: a_new_input"
    assert _said(said, "errors") == "ScorerInvalid: 2"
    assert _said(said, "realised").endswith("over 12 outcomes: -0.0010 [-0.0020, +0.0000]")


def test_a_replay_without_a_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_answer(monkeypatch, {**REPLAY, "forecasts": 0})
    assert challenger.replay(settings.load({}), STACK, "4", None).startswith("No forecasts are logged.")
