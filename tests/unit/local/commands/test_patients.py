import io
import json
from typing import Any

import pytest

from infra.local import aws, settings
from infra.local.commands import patients
from infra.local.errors import LocalError
from infra.local.stack import Stack

STACK = Stack(
    "api", "key", "https://localhost", "token", "arn:aws:states:::stateMachine:readmission-pipeline", "bucket", {}
)
FOUND = {
    "site": "north",
    "rows": {"diabetes_raw": 1200, "outcome": 0},
    "files": [{"key": "pipeline/batches/abc.csv.gz", "rows": 3}],
    "exports": 2,
    "jobs": 3,
    "to_score": ["scoring/incoming/night.csv"],
    "unreadable": ["s3://bucket/damaged.zip"],
    "elsewhere": ["https://archive.example/data.zip"],
    "split": "train",
    "versions": ["2", "10"],
    "uncertain": ["1"],
    "erasure": None,
}
DONE = {"requested_at": "…", "requested_by": "Ada", "reason": "a request", "completed_at": "2026-11-27 06:00:00.123+00"}


class FakeLambda:
    """Answers like Lambda and records its invocations."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.events: list[Any] = []

    def invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        assert FunctionName == "readmission-erase"
        self.events.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}


def _with_answer(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> FakeLambda:
    fake = FakeLambda({**FOUND, **changes})
    monkeypatch.setattr(aws, "client", lambda *_: fake)
    return fake


def test_it_is_shown_what_is_stored_where_and_which_models_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _with_answer(monkeypatch)
    said = patients.find(settings.load({}), STACK, "8222157", "north")
    assert fake.events == [{"find": {"patient": 8222157, "site": "north"}}]
    for shown in (
        *("table diabetes_raw", "1,200", "pipeline/batches/abc.csv.gz", "2 exports", "learned from the patient: 2, 10"),
        *("3 files of scoring jobs", "scoring/incoming/night.csv"),
        *("does not say it: 1", "https://archive.example/data.zip", "s3://bucket/damaged.zip"),
    ):
        assert shown in said


@pytest.mark.parametrize(
    ("completed", "says"), [(DONE["completed_at"], "ended 2026-11-27"), (None, "run make erase again")]
)
def test_an_earlier_erasure_is_shown(monkeypatch: pytest.MonkeyPatch, completed: str | None, says: str) -> None:
    _with_answer(monkeypatch, erasure={**DONE, "completed_at": completed})
    said = patients.find(settings.load({}), STACK, "8222157", "north")
    assert "Erased by Ada (a request)" in said and says in said


def test_nothing_is_erased_without_force_and_what_would_be_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _with_answer(monkeypatch)
    request = patients.erasure_request("8222157", "north", "a request", "Ada")
    with pytest.raises(LocalError, match=r"(?s)1,200.*Nothing has been deleted.*FORCE=1"):
        patients.erase(settings.load({}), STACK, request, force=False)
    assert [list(event) for event in fake.events] == [["find"]]


def test_with_force_the_patient_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _with_answer(monkeypatch, erasure=DONE)
    request = patients.erasure_request("8222157", "north", "a request", "Ada")
    said = patients.erase(settings.load({}), STACK, request, force=True)
    assert fake.events == [
        {"erase": {"patient": 8222157, "site": "north", "reason": "a request", "by": "Ada", "confirm": True}}
    ]
    assert "make pipeline START_AT=train" in said


@pytest.mark.parametrize(
    ("patient", "reason"), [("8222157", None), ("8222157", " "), ("Ada", "a request"), ("-1", "a request")]
)
def test_an_erasure_needs_a_number_and_a_reason(patient: str, reason: str | None) -> None:
    with pytest.raises(LocalError, match=r"REASON|PATIENT"):
        patients.erasure_request(patient, "north", reason, "Ada")


def test_an_erasure_is_in_the_name_of_this_machines_user_if_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "an operator")
    assert patients.erasure_request("7", "north", "a request", None)["by"] == "an operator"
