import io
import json
from typing import Any

import pytest

from infra.local import aws, settings
from infra.local.commands import recalibrate

PROMOTION = {
    "decision": "refused",
    "reason": "version 5 is not better",
    "model": "random_forest",
    "version": "5",
    "production_version": "4",
}


class FakeLambda:
    """Answers by function and records its invocations."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        self.asked.append((FunctionName, json.loads(Payload)))
        answers = {
            "readmission-train": {
                "data_kind": "real",
                "model": "random_forest",
                "site": "main",
                "recalibrated_from": "4",
                "mlflow_run_id": "r1",
            },
            "readmission-promote": PROMOTION,
            "readmission-report": {},
        }
        return {"Payload": io.BytesIO(json.dumps(answers[FunctionName]).encode())}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    fake = FakeLambda()
    monkeypatch.setattr(aws, "client", lambda *_: fake)
    return fake


def test_the_run_is_made_judged_and_reported_on(fake: FakeLambda) -> None:
    said = recalibrate.recalibrate(settings.load({}), "main", None, "more come back", "Ada", other_sites=False)
    run = {"model": "random_forest", "mlflow_run_id": "r1"}
    assert fake.asked == [
        ("readmission-train", {"recalibrate": {"site": "main"}}),
        (
            "readmission-promote",
            {
                "data_kind": "real",
                "models": ["random_forest"],
                "candidates": [run],
                "by": "Ada",
                "reason": "more come back",
                "other_sites": False,
            },
        ),
        ("readmission-report", {"task": "plots", **run}),
        ("readmission-report", {"task": "card", "data_kind": "real", "promotion": PROMOTION}),
    ]
    assert said.splitlines()[0] == "Version 5 refused: version 5 is not better."
    assert "In production: version 4." in said


def test_a_version_and_other_sites_are_passed_on(fake: FakeLambda) -> None:
    recalibrate.recalibrate(settings.load({}), "main", "3", None, "Ada", other_sites=True)
    assert fake.asked[0][1] == {"recalibrate": {"site": "main", "version": "3"}}
    assert fake.asked[1][1]["other_sites"] is True
