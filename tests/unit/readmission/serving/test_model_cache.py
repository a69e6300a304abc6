import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from readmission.errors import ModelUnavailable
from readmission.registry.production import Version
from readmission.serving.model_cache import POLLING_THREAD, ModelCache

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
def model_cache(registry: FakeRegistry, clock: Clock) -> ModelCache:
    return ModelCache(registry, REFRESH_SECONDS, LOGGER, clock)


def _number(model_cache: ModelCache) -> str:
    return model_cache.current().version.number


def test_before_the_first_poll_there_is_no_model(model_cache: ModelCache) -> None:
    with pytest.raises(ModelUnavailable, match="the model registry has not been polled yet"):
        model_cache.current()


def test_a_poll_is_due_from_the_start(model_cache: ModelCache) -> None:
    assert model_cache.due


def test_a_poll_loads_the_model_in_production(model_cache: ModelCache, registry: FakeRegistry) -> None:
    version = registry.promote("1", FIRST)
    assert model_cache.refresh() is None
    assert model_cache.current().version == version
    assert model_cache.current().scorer.probabilities([0] * 14) == [0.1, 0.2, 0.7]


def test_the_first_poll_may_begin_in_the_background_and_is_the_only_one(registry: FakeRegistry, clock: Clock) -> None:
    registry.promote("1", FIRST)
    started: list[Callable[[], None]] = []
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock, start=started.append)
    model_cache.begin()
    assert model_cache.served is None
    thread = threading.Thread(target=started[0])
    thread.start()
    model_cache.follow()  # as the first request does, which waits for the poll
    thread.join()
    assert _number(model_cache) == "1" and registry.polls == len(started) == 1


def test_a_promotion_is_picked_up_by_the_next_poll(model_cache: ModelCache, registry: FakeRegistry) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.promote("2", SECOND)
    assert _number(model_cache) == "1"
    model_cache.refresh()
    assert _number(model_cache) == "2"
    assert model_cache.current().scorer.probabilities([0] * 14) == [0.7, 0.2, 0.1]


def test_a_rollback_to_an_earlier_version_is_picked_up(model_cache: ModelCache, registry: FakeRegistry) -> None:
    for number, content in (("1", FIRST), ("2", SECOND), ("1", FIRST)):
        registry.promote(number, content)
        model_cache.refresh()
    assert _number(model_cache) == "1"


def test_an_unchanged_model_is_not_fetched_again(model_cache: ModelCache, registry: FakeRegistry) -> None:
    registry.promote("1", FIRST)
    for _ in range(5):
        model_cache.refresh()
    assert (registry.polls, registry.downloads) == (5, 1)


def test_a_version_whose_registered_hash_changed_is_fetched_again(
    model_cache: ModelCache, registry: FakeRegistry
) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.promote("1", SECOND)
    model_cache.refresh()
    assert model_cache.current().scorer.probabilities([0] * 14) == [0.7, 0.2, 0.1]


BROKEN = [
    pytest.param({"document": FIRST, "registered_sha256": "0" * 64}, "SHA-256", id="wrong-hash"),
    pytest.param({"document": b"<html>"}, "not valid JSON", id="not-json"),
    pytest.param({"document": []}, "not a JSON object", id="list"),
    pytest.param({"document": {**FIRST, "format_version": 99}}, "version 99", id="later-version"),
    pytest.param({"document": {**FIRST, "model": {"type": "svm"}}}, "cannot be used", id="unknown-model"),
    pytest.param({"document": {**FIRST, "classes": ["NO"]}}, "1 classes", id="other-classes"),
    pytest.param(
        {"document": document({"type": "forest", "trees": [stump(0, 1, [1, 0, 0], [0, 1, 0])]})},
        "unknown features: a, b",
        id="unknown-features",
    ),
]


@pytest.mark.parametrize(("promoted", "reason"), BROKEN)
def test_a_broken_document_is_reported_and_the_last_valid_model_stays(
    model_cache: ModelCache, registry: FakeRegistry, promoted: dict[str, Any], reason: str
) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.promote("2", **promoted)
    problem = model_cache.refresh()
    assert reason in str(problem)
    assert _number(model_cache) == "1"


@pytest.mark.parametrize(("promoted", "reason"), BROKEN)
def test_without_another_model_a_broken_document_is_the_reason(
    model_cache: ModelCache, registry: FakeRegistry, promoted: dict[str, Any], reason: str
) -> None:
    registry.promote("1", **promoted)
    model_cache.refresh()
    with pytest.raises(ModelUnavailable, match=reason):
        model_cache.current()


def test_a_registry_that_is_down_is_reported_and_the_last_valid_model_stays(
    model_cache: ModelCache, registry: FakeRegistry
) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.problem = "MLflow cannot be reached"
    assert model_cache.refresh() == "MLflow cannot be reached"
    assert _number(model_cache) == "1"


def test_a_registry_that_recovers_is_polled_again(model_cache: ModelCache, registry: FakeRegistry) -> None:
    registry.problem = "MLflow cannot be reached"
    model_cache.refresh()
    registry.promote("1", FIRST)
    assert model_cache.refresh() is None
    assert _number(model_cache) == "1"


def test_the_reason_is_that_of_the_last_poll(model_cache: ModelCache, registry: FakeRegistry) -> None:
    for reason in ("MLflow cannot be reached", "no version is in Production yet"):
        registry.problem = reason
        model_cache.refresh()
    with pytest.raises(ModelUnavailable, match="no version is in Production yet"):
        model_cache.current()


def test_a_failed_poll_is_logged_with_the_version_that_is_still_served(
    model_cache: ModelCache, registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.promote("7", FIRST)
    model_cache.refresh()
    registry.problem = "MLflow cannot be reached"
    with caplog.at_level(logging.WARNING):
        model_cache.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "cannot load the model in production: MLflow cannot be reached; still serving version: 7"
    ]


@pytest.mark.parametrize("fails", [False, True], ids=["successful-poll", "failed-poll"])
def test_with_a_model_the_next_poll_is_due_after_the_refresh_interval(
    model_cache: ModelCache, registry: FakeRegistry, clock: Clock, fails: bool
) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.problem = "away" if fails else None
    model_cache.refresh()
    clock.now += REFRESH_SECONDS - 0.01
    assert not model_cache.due
    clock.now += 0.01
    assert model_cache.due


def test_without_a_model_the_next_poll_is_due_after_a_second(model_cache: ModelCache, clock: Clock) -> None:
    model_cache.refresh()
    clock.now += 0.99
    assert not model_cache.due
    clock.now += 0.01
    assert model_cache.due


def test_without_a_model_a_shorter_refresh_interval_applies(registry: FakeRegistry, clock: Clock) -> None:
    model_cache = ModelCache(registry, 0.2, LOGGER, clock)
    model_cache.refresh()
    clock.now += 0.2
    assert model_cache.due


def test_the_interval_is_counted_from_the_start_of_the_last_poll(clock: Clock) -> None:
    class Slow(FakeRegistry):
        def production(self) -> Version:
            clock.now += 5
            return super().production()

    registry = Slow()
    registry.promote("1", FIRST)
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock)
    model_cache.refresh()
    clock.now += REFRESH_SECONDS - 5 - 0.01
    assert not model_cache.due
    clock.now += 0.01
    assert model_cache.due


def test_a_bug_is_not_mistaken_for_a_missing_model(clock: Clock) -> None:
    class Wrong(FakeRegistry):
        def production(self) -> Version:
            raise AttributeError("a bug")

    with pytest.raises(AttributeError):
        ModelCache(Wrong(), REFRESH_SECONDS, LOGGER, clock).refresh()


# ---------------------------------------------------------------- in the background
class Held(FakeRegistry):
    """A registry whose answer to a poll can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.polled = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.let_go.set()

    def production(self) -> Version:
        self.polled.release()
        assert self.let_go.wait(5)
        return super().production()


@dataclass
class Instance:
    """A warm instance that serves version 1 while the registry already has version 2."""

    registry: Held
    clock: Clock
    model_cache: ModelCache

    def answer(self) -> str:
        """The version that answers a request."""
        if self.model_cache.due:
            self.model_cache.follow()
        return _number(self.model_cache)

    def wait_for_poll(self) -> None:
        """Return once a poll has reached the registry."""
        assert self.registry.polled.acquire(timeout=5)


@pytest.fixture
def instance(clock: Clock) -> Iterator[Instance]:
    registry = Held()
    registry.promote("1", FIRST)
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock)
    model_cache.refresh()
    assert registry.polled.acquire(timeout=5)
    registry.promote("2", SECOND)
    yield Instance(registry, clock, model_cache)
    registry.let_go.set()
    _wait_for_polls()


def _wait_for_polls() -> None:
    for thread in threading.enumerate():
        if thread.name == POLLING_THREAD:
            thread.join(5)
            assert not thread.is_alive()


def test_a_request_that_starts_a_poll_does_not_wait_for_it(instance: Instance) -> None:
    instance.clock.now += REFRESH_SECONDS
    instance.registry.let_go.clear()
    assert instance.answer() == "1"
    instance.wait_for_poll()
    instance.registry.let_go.set()
    _wait_for_polls()
    assert instance.answer() == "2"


def test_no_poll_is_started_before_it_is_due(instance: Instance) -> None:
    instance.clock.now += REFRESH_SECONDS - 0.01
    instance.model_cache.follow()
    _wait_for_polls()
    assert (instance.registry.polls, _number(instance.model_cache)) == (1, "1")


def test_requests_during_a_poll_do_not_start_another(instance: Instance) -> None:
    instance.clock.now += REFRESH_SECONDS
    instance.registry.let_go.clear()
    assert [instance.answer() for _ in range(20)] == ["1"] * 20
    instance.registry.let_go.set()
    _wait_for_polls()
    assert instance.registry.polls == 2


@pytest.mark.parametrize("hours", [0, 5])
def test_after_a_freeze_the_first_answer_is_from_the_version_in_production(instance: Instance, hours: float) -> None:
    instance.clock.now += 2 * REFRESH_SECONDS + 3600 * hours
    assert instance.answer() == "2"


def test_a_poll_that_was_frozen_halfway_is_replaced_and_its_result_counts_as_old(instance: Instance) -> None:
    instance.registry.let_go.clear()
    instance.clock.now += REFRESH_SECONDS
    assert instance.answer() == "1"
    instance.wait_for_poll()
    instance.clock.now += 3600
    instance.registry.let_go.set()
    _wait_for_polls()  # the frozen one comes first, with an answer that is an hour old
    assert instance.model_cache.due
    instance.registry.promote("3", FIRST)
    assert instance.answer() == "3"


def test_a_request_waits_for_the_poll_that_replaces_a_frozen_one(instance: Instance) -> None:
    instance.registry.let_go.clear()
    instance.clock.now += REFRESH_SECONDS
    assert instance.answer() == "1"
    instance.wait_for_poll()
    instance.clock.now += 3600
    threading.Timer(0.02, instance.registry.let_go.set).start()
    assert instance.answer() == "2"


@pytest.mark.parametrize("ends", [True, False], ids=["times-out-at-the-next-request", "never-ends"])
@pytest.mark.parametrize("every", [1.7, 3.3, 7.0, 9.9, 10.1, 13.0, 19.9, 21.0, 29.0, 4000.0])
def test_no_answer_relies_on_a_result_older_than_30_seconds_however_polls_are_frozen(
    clock: Clock, every: float, ends: bool
) -> None:
    class Timed(FakeRegistry):
        said_at = clock()
        away = False

        def production(self) -> Version:
            if self.away:
                raise ModelUnavailable("timed out")
            self.said_at = clock()
            return super().production()

    registry = Timed()
    frozen: list[Callable[[], None]] = []

    def start(poll: Callable[[], None]) -> None:
        # A request waits for the poll if the last result is 20 s old; otherwise the poll is frozen after the answer.
        if clock() - registry.said_at >= 20:
            poll()
        else:
            frozen.append(poll)

    registry.promote("1", FIRST)
    model_cache = ModelCache(registry, 10, LOGGER, clock, start)
    model_cache.refresh()
    for _ in range(200):
        clock.now += every
        registry.away = True
        for poll in frozen if ends else ():
            poll()
        frozen.clear()
        registry.away = False
        if model_cache.due:
            model_cache.follow()
        assert clock() - registry.said_at < 30


def test_an_unresponsive_mlflow_delays_one_request_by_a_second_and_later_ones_not_at_all(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("readmission.serving.model_cache._MAX_WAIT_SECONDS", 0.05)
    instance.registry.let_go.clear()
    instance.clock.now += 3600
    began = time.monotonic()
    assert instance.answer() == "1"
    assert 0.04 < time.monotonic() - began < 1
    instance.clock.now += 0.05
    began = time.monotonic()
    assert [instance.answer() for _ in range(50)] == ["1"] * 50
    assert time.monotonic() - began < 0.5


def test_an_mlflow_that_refuses_is_polled_again_only_after_the_refresh_interval(instance: Instance) -> None:
    instance.registry.problem = "MLflow cannot be reached"
    instance.clock.now += 3600
    for _ in range(5):
        assert instance.answer() == "1"
    assert instance.registry.polls == 2


def test_a_broken_model_in_production_does_not_make_requests_wait(instance: Instance) -> None:
    instance.registry.promote("2", b"<html>")
    for _ in range(3):
        instance.clock.now += REFRESH_SECONDS
        assert instance.answer() == "1"
        _wait_for_polls()
    instance.registry.let_go.clear()
    instance.clock.now += REFRESH_SECONDS
    began = time.monotonic()
    assert instance.answer() == "1"
    assert time.monotonic() - began < 0.5


def test_without_a_model_a_request_waits_for_the_poll(clock: Clock, registry: FakeRegistry) -> None:
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock)
    registry.promote("1", FIRST)
    model_cache.follow()
    assert _number(model_cache) == "1"


def test_a_bug_in_a_background_poll_is_logged_and_does_not_stop_polling(
    instance: Instance, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(instance.registry, "scorer_document", lambda version: None)
        instance.clock.now += REFRESH_SECONDS
        assert instance.answer() == "1"
        _wait_for_polls()
    assert "polling the model registry failed" in caplog.text
    assert not instance.model_cache.due
    instance.clock.now += REFRESH_SECONDS
    instance.answer()
    _wait_for_polls()
    assert _number(instance.model_cache) == "2"


def test_a_promotion_of_the_same_scorer_does_not_fetch_it(model_cache: ModelCache, registry: FakeRegistry) -> None:
    for number in ("1", "2"):
        registry.promote(number, FIRST)
        model_cache.refresh()
    assert (_number(model_cache), registry.downloads) == ("2", 1)


def test_polls_of_several_threads_run_one_at_a_time_and_leave_a_complete_model(clock: Clock) -> None:
    class Watched(FakeRegistry):
        """Notes overlapping polls, and promotes another version with every poll."""

        inside = 0
        together = 0

        def production(self) -> Version:
            self.inside += 1
            self.together = max(self.together, self.inside)
            time.sleep(0.001)
            version = self.promote(str(self.polls), constant(0.1, 0.2, 0.7) if self.polls % 2 else SECOND)
            self.polls += 1
            self.inside -= 1
            return version

    registry = Watched()
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock)
    torn: list[str] = []

    def poll() -> None:
        for _ in range(10):
            model_cache.refresh()
            served = model_cache.current()
            expected = 0.1 if int(served.version.number) % 2 else 0.7
            if served.scorer.probabilities([0] * 14)[0] != expected:
                torn.append(served.version.number)

    threads = [threading.Thread(target=poll) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (registry.polls, registry.together, torn) == (80, 1, [])


def test_after_a_restore_the_registry_is_polled_though_the_clock_stood_still(
    model_cache: ModelCache, registry: FakeRegistry
) -> None:
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.promote("2", SECOND)
    assert not model_cache.due
    model_cache.restored()
    assert _number(model_cache) == "2"


def test_after_a_restore_without_a_registry_requests_wait_for_the_next_poll(
    registry: FakeRegistry, clock: Clock
) -> None:
    model_cache = ModelCache(registry, REFRESH_SECONDS, LOGGER, clock, start=lambda poll: poll())
    registry.promote("1", FIRST)
    model_cache.refresh()
    registry.promote("2", SECOND)
    registry.problem = "away"
    model_cache.restored()
    assert _number(model_cache) == "1"
    registry.problem = None
    clock.now += 1
    assert model_cache.due
    model_cache.follow()
    assert _number(model_cache) == "2"
    assert not model_cache.due
