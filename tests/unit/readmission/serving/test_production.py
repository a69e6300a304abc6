import logging
import threading
import time
from typing import Any

import pytest
from readmission.errors import ModelUnavailable
from readmission.serving.production import Production
from readmission.serving.registry import Version

from tests.unit.readmission.documents import constant, document, stump
from tests.unit.readmission.serving.fakes import LOGGER, REFRESH_SECONDS, Clock, FakeRegistry

FIRST, SECOND = constant(0.1, 0.2, 0.7), constant(0.7, 0.2, 0.1)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def production(registry: FakeRegistry, clock: Clock) -> Production:
    return Production(registry, REFRESH_SECONDS, LOGGER, clock)


def _number(production: Production) -> str:
    return production.current().version.number


def test_before_the_first_look_there_is_no_model(production: Production) -> None:
    with pytest.raises(ModelUnavailable, match="no model has been looked for yet"):
        production.current()


def test_a_look_is_due_from_the_start(production: Production) -> None:
    assert production.due


def test_a_look_takes_the_model_in_production(production: Production, registry: FakeRegistry) -> None:
    version = registry.promote("1", FIRST)
    assert production.refresh() is None
    assert production.current().version == version
    assert production.current().scorer.probabilities([0] * 14) == [0.1, 0.2, 0.7]


def test_a_promotion_is_followed_at_the_next_look(production: Production, registry: FakeRegistry) -> None:
    registry.promote("1", FIRST)
    production.refresh()
    registry.promote("2", SECOND)
    assert _number(production) == "1"
    production.refresh()
    assert _number(production) == "2"
    assert production.current().scorer.probabilities([0] * 14) == [0.7, 0.2, 0.1]


def test_a_promotion_back_to_an_earlier_version_is_followed(production: Production, registry: FakeRegistry) -> None:
    for number, content in (("1", FIRST), ("2", SECOND), ("1", FIRST)):
        registry.promote(number, content)
        production.refresh()
    assert _number(production) == "1"


def test_a_model_that_has_not_changed_is_not_fetched_again(production: Production, registry: FakeRegistry) -> None:
    registry.promote("1", FIRST)
    for _ in range(5):
        production.refresh()
    assert (registry.looks, registry.downloads) == (5, 1)


def test_a_version_whose_registered_hash_changed_is_fetched_again(
    production: Production, registry: FakeRegistry
) -> None:
    registry.promote("1", FIRST)
    production.refresh()
    registry.promote("1", SECOND)
    production.refresh()
    assert production.current().scorer.probabilities([0] * 14) == [0.7, 0.2, 0.1]


BROKEN = [
    pytest.param({"document": FIRST, "registered_sha256": "0" * 64}, "SHA-256", id="wrong-hash"),
    pytest.param({"document": b"<html>"}, "no JSON", id="no-json"),
    pytest.param({"document": []}, "no JSON object", id="list"),
    pytest.param({"document": {**FIRST, "format_version": 99}}, "version 99", id="later-version"),
    pytest.param({"document": {**FIRST, "model": {"type": "svm"}}}, "cannot be used", id="unknown-model"),
    pytest.param({"document": {**FIRST, "classes": ["NO"]}}, "1 classes", id="other-classes"),
    pytest.param(
        {"document": document({"type": "forest", "trees": [stump(0, 1, [1, 0, 0], [0, 1, 0])]})},
        "features unknown here: a, b",
        id="unknown-features",
    ),
]


@pytest.mark.parametrize(("promoted", "reason"), BROKEN)
def test_a_document_that_is_broken_is_told_and_the_last_good_model_stays(
    production: Production, registry: FakeRegistry, promoted: dict[str, Any], reason: str
) -> None:
    registry.promote("1", FIRST)
    production.refresh()
    registry.promote("2", **promoted)
    problem = production.refresh()
    assert reason in str(problem)
    assert _number(production) == "1"


@pytest.mark.parametrize(("promoted", "reason"), BROKEN)
def test_a_broken_document_is_the_reason_while_there_is_no_other_model(
    production: Production, registry: FakeRegistry, promoted: dict[str, Any], reason: str
) -> None:
    registry.promote("1", **promoted)
    production.refresh()
    with pytest.raises(ModelUnavailable, match=reason):
        production.current()


def test_a_registry_that_is_away_is_told_and_the_last_good_model_stays(
    production: Production, registry: FakeRegistry
) -> None:
    registry.promote("1", FIRST)
    production.refresh()
    registry.problem = "MLflow cannot be reached"
    assert production.refresh() == "MLflow cannot be reached"
    assert _number(production) == "1"


def test_a_registry_that_comes_back_is_followed_again(production: Production, registry: FakeRegistry) -> None:
    registry.problem = "MLflow cannot be reached"
    production.refresh()
    registry.promote("1", FIRST)
    assert production.refresh() is None
    assert _number(production) == "1"


def test_the_reason_is_that_of_the_last_look(production: Production, registry: FakeRegistry) -> None:
    for reason in ("MLflow cannot be reached", "no version is in Production yet"):
        registry.problem = reason
        production.refresh()
    with pytest.raises(ModelUnavailable, match="no version is in Production yet"):
        production.current()


def test_a_failed_look_is_logged_with_the_version_that_still_serves(
    production: Production, registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.promote("7", FIRST)
    production.refresh()
    registry.problem = "MLflow cannot be reached"
    with caplog.at_level(logging.WARNING):
        production.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "the Production model cannot be loaded: MLflow cannot be reached; still serving version: 7"
    ]


@pytest.mark.parametrize("fails", [False, True], ids=["good-look", "failed-look"])
def test_with_a_model_the_next_look_is_due_after_the_refresh_time(
    production: Production, registry: FakeRegistry, clock: Clock, fails: bool
) -> None:
    registry.promote("1", FIRST)
    production.refresh()
    registry.problem = "away" if fails else None
    production.refresh()
    clock.now += REFRESH_SECONDS - 0.01
    assert not production.due
    clock.now += 0.01
    assert production.due


def test_without_a_model_the_next_look_is_due_after_a_second(production: Production, clock: Clock) -> None:
    production.refresh()
    clock.now += 0.99
    assert not production.due
    clock.now += 0.01
    assert production.due


def test_without_a_model_a_shorter_refresh_time_counts(registry: FakeRegistry, clock: Clock) -> None:
    production = Production(registry, 0.2, LOGGER, clock)
    production.refresh()
    clock.now += 0.2
    assert production.due


def test_the_time_that_a_look_takes_is_not_counted(clock: Clock) -> None:
    class Slow(FakeRegistry):
        def production(self) -> Version:
            clock.now += 5
            return super().production()

    registry = Slow()
    registry.promote("1", FIRST)
    production = Production(registry, REFRESH_SECONDS, LOGGER, clock)
    production.refresh()
    clock.now += REFRESH_SECONDS - 0.01
    assert not production.due


def test_an_error_of_the_code_is_not_taken_for_a_missing_model(clock: Clock) -> None:
    class Wrong(FakeRegistry):
        def production(self) -> Version:
            raise AttributeError("a bug")

    with pytest.raises(AttributeError):
        Production(Wrong(), REFRESH_SECONDS, LOGGER, clock).refresh()


def test_looks_from_several_threads_come_one_after_the_other_and_leave_a_whole_model(clock: Clock) -> None:
    class Watched(FakeRegistry):
        """Notes when two are inside at once, and promotes another version with every look."""

        inside = 0
        together = 0

        def production(self) -> Version:
            self.inside += 1
            self.together = max(self.together, self.inside)
            time.sleep(0.001)
            version = self.promote(str(self.looks), constant(0.1, 0.2, 0.7) if self.looks % 2 else SECOND)
            self.looks += 1
            self.inside -= 1
            return version

    registry = Watched()
    production = Production(registry, REFRESH_SECONDS, LOGGER, clock)
    torn: list[str] = []

    def look() -> None:
        for _ in range(10):
            production.refresh()
            served = production.current()
            expected = 0.1 if int(served.version.number) % 2 else 0.7
            if served.scorer.probabilities([0] * 14)[0] != expected:
                torn.append(served.version.number)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (registry.looks, registry.together, torn) == (80, 1, [])
