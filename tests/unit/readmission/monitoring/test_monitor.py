"""How the monitor compares the deliveries that versions have learned from."""

from dataclasses import replace
from typing import Any, cast

from readmission.evaluation.reference import Reference
from readmission.monitoring.monitor import _Read
from readmission.monitoring.versions import Judge

from tests.unit.readmission.monitoring.builders import Version, document, stays


class Counting(Reference):
    """Counts the rows that are compared with it."""

    def __init__(self) -> None:
        super().__init__(document(500))
        self.compared = 0

    def inputs(self, columns: Any) -> Any:
        self.compared += 1
        return super().inputs(columns)


def judge(reference: Reference | None, *learned: str, number: str = "3") -> Judge:
    empty = Judge(number, "run", "real", cast(Any, Version(None)), None)
    return replace(empty, reference=reference, learned=frozenset(learned))


def test_a_version_is_compared_once_with_each_delivery_that_it_has_learned_from() -> None:
    reference, read = Counting(), _Read()
    production = judge(reference, "a", "b")
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        read.rows[name] = stays(200, seed)
        found = list(read.learned_by(production))
    assert reference.compared == 2
    assert [drift.psi for drift in found[1]] == [drift.psi for drift in reference.inputs(read.rows["b"].columns)]


def test_another_version_has_comparisons_of_its_own() -> None:
    reference, read = Counting(), _Read()
    read.rows["a"] = stays(200, 1)
    for number in ("3", "4"):
        assert len(list(read.learned_by(judge(reference, "a", number=number)))) == 1
    assert reference.compared == 2


def test_without_a_reference_or_known_deliveries_nothing_is_compared() -> None:
    read = _Read()
    read.rows["a"] = stays(200, 1)
    assert list(read.learned_by(judge(None, "a"))) == []
    assert list(read.learned_by(replace(judge(Counting(), "a"), learned=None))) == []
