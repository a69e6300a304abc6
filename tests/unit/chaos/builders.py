"""A platform's facts before and after a fault, and the answers of its API."""

from typing import Any

from tests.chaos.facts import Facts, Line
from tests.chaos.system import Run
from tests.chaos.traffic import Answer

FIRST = Line(1, "1", "promoted", "first")
RUN = Run("arn:execution:second", {"source": "synthetic:rows=3000,seed=7"}, "promote")
OLD = {"old": 6000}
NEW = dict.fromkeys("abc", RUN.batch_rows)


def before(**changes: Any) -> Facts:
    """A platform with one model, which learned from one batch."""
    values: dict[str, Any] = {
        "raw": OLD,
        "clean": OLD,
        "quarantine": {},
        "patients_in_two_splits": 0,
        "ledger": (FIRST,),
        "versions": frozenset({"1"}),
        "training": frozenset(),
        "production": "1",
        "served": "1",
        "probabilities": {"<30": 0.1, ">30": 0.3, "NO": 0.6},
    }
    return Facts(**values | changes)


def after(**changes: Any) -> Facts:
    """The same platform after `RUN` has loaded three batches and promoted version 2."""
    values: dict[str, Any] = {
        "raw": OLD | NEW,
        "clean": NEW,
        "ledger": (FIRST, Line(2, "2", "promoted", RUN.name)),
        "versions": frozenset({"1", "2"}),
        "production": "2",
        "served": "2",
        "probabilities": {"<30": 0.2, ">30": 0.3, "NO": 0.5},
    }
    return before(**values | changes)


def answer(sent: float, status: int = 200, complaint: str | None = None) -> Answer:
    return Answer(sent, "predict", status, complaint)


class Traffic:
    """Has had the given answers to requests since the fault, and one right answer since the recovery."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers

    def between(self, since: float, until: float) -> list[Answer]:
        return list(self.answers) if since == AT else [answer(since)]


AT = 5.0
"""When the faults of these tests happen."""
