import io
import json
from typing import Any

import pytest

from infra.local import aws, settings
from infra.local.commands import deliveries
from infra.local.stack import Stack

STACK = Stack(
    "api", "key", "https://localhost", "token", "arn:aws:states:::stateMachine:readmission-pipeline", "bucket", {}
)
LINE = {
    "delivered_at": "2026-11-24T09:00:00.123+00:00",
    "delivery_id": "run-1",
    "site": "north",
    "data_kind": "real",
    "rows": 101_766,
    "status": "accepted",
    "reason": "",
    "source": "s3://bucket/key",
    "comparison": None,
}


class FakeLambda:
    """Answers like Lambda and records its invocations."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.invocations: list[dict[str, Any]] = []

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.invocations.append(arguments)
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}


def _with_answer(monkeypatch: pytest.MonkeyPatch, answer: Any) -> FakeLambda:
    fake = FakeLambda(answer)
    monkeypatch.setattr(aws, "client", lambda *_: fake)
    return fake


def _cells(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[str]:
    _with_answer(monkeypatch, [{**LINE, **changes}])
    _, line = deliveries.deliveries(settings.load({}), STACK).splitlines()
    return line.split()


def test_each_delivery_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cells(monkeypatch) == [
        *("2026-11-24", "09:00:00", "run-1", "north", "real", "101,766", "accepted", "-", "-", "s3://bucket/key")
    ]


def test_the_hash_of_the_mapping_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "0a1b2c3d4e5f6071" in _cells(monkeypatch, mapping_hash="0a1b2c3d4e5f6071")


def test_the_reason_of_a_refusal_or_withdrawal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cells(monkeypatch, status="withdrawn", reason="the wrong ward")[-3:] == ["the", "wrong", "ward"]


def test_columns_that_differ_from_earlier_deliveries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    line = " ".join(_cells(monkeypatch, comparison={"notable": ["payer_code", "num_medications"]}))
    assert "payer_code, num_medications" in line
    line = " ".join(_cells(monkeypatch, comparison={"notable": list("abcdef")}))
    assert "a, b, c, d and 2 more" in line


def test_without_a_delivery_it_says_how_to_bring_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_answer(monkeypatch, [])
    assert "make pipeline" in deliveries.deliveries(settings.load({}), STACK)


def test_a_withdrawal_says_what_it_did_and_how_to_train_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _with_answer(monkeypatch, {"delivery": "run-1", "removed": 1200, "kept": 3})
    said = deliveries.withdraw(settings.load({}), STACK, "run-1", "the wrong ward")
    assert "1,200 of its encounters left the clean table, and 3 have a row of another delivery" in said
    assert "make pipeline START_AT=train" in said
    (invocation,) = fake.invocations
    assert invocation["FunctionName"] == "readmission-check"
    assert json.loads(invocation["Payload"]) == {"withdraw": {"delivery": "run-1", "reason": "the wrong ward"}}
