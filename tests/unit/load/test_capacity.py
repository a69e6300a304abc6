from dataclasses import replace

import pytest

from tests.load.capacity import Climb, Held, Objective, climb, spread

OBJECTIVE = Objective(p95_ms=100, failures=0)


def held(users: int, p95: float = 20.0, failures: int = 0, confirms: bool = False) -> Held:
    return Held(users, users * 15, failures, float(users), 10, 10, p95, p95, users, 500, 0.1, confirms)


class Service:
    """Answers within 20 ms up to `limit` users, in 200 ms beyond; in the calls listed it has a bad moment."""

    def __init__(self, limit: int, bad_calls: tuple[int, ...] = (), failures: int = 0) -> None:
        self.limit, self.bad_calls, self.failures = limit, bad_calls, failures
        self.asked: list[tuple[int, bool]] = []

    def hold(self, users: int, confirms: bool) -> Held:
        self.asked.append((users, confirms))
        beyond = users > self.limit or len(self.asked) in self.bad_calls
        p95 = 200.0 if beyond and not self.failures else 20.0
        return held(users, p95, self.failures if beyond else 0, confirms)


def test_the_knee_is_the_last_number_of_users_that_held_and_holds_again() -> None:
    service = Service(limit=35)
    found = climb(service.hold, OBJECTIVE, step=10, max_users=200)
    assert service.asked == [(10, False), (20, False), (30, False), (40, False), (40, False), (30, True)]
    assert found.knee is not None and (found.knee.users, found.knee.confirms) == (30, True)
    assert not found.unbroken


def test_failures_break_the_objective_however_fast_they_are() -> None:
    found = climb(Service(limit=20, failures=1).hold, OBJECTIVE, step=10, max_users=200)
    assert [one.users for one in found.held] == [10, 20, 30, 20]
    assert climb(Service(limit=20, failures=1).hold, Objective(100, 1), 10, 40).unbroken


def test_it_goes_back_until_a_number_is_confirmed() -> None:
    found = climb(Service(limit=30, bad_calls=(6,)).hold, OBJECTIVE, step=10, max_users=200)
    assert [(one.users, one.confirms) for one in found.held[3:]] == [(40, False), (40, False), (30, True), (20, True)]
    assert found.knee is not None and found.knee.users == 20


def test_a_bad_moment_ends_no_climb() -> None:
    found = climb(Service(limit=30, bad_calls=(2,)).hold, OBJECTIVE, step=10, max_users=200)
    assert [one.users for one in found.held] == [10, 20, 20, 30, 40, 40, 30]
    assert found.knee is not None and found.knee.users == 30


def test_a_service_that_is_too_slow_for_anybody_has_no_knee() -> None:
    service = Service(limit=0)
    assert climb(service.hold, OBJECTIVE, step=10, max_users=200).knee is None
    assert service.asked == [(10, False), (10, False)]


def test_a_climb_is_bounded() -> None:
    endless = Service(limit=10**9)
    found = climb(endless.hold, OBJECTIVE, step=10, max_users=45)
    assert endless.asked == [(10, False), (20, False), (30, False), (40, False), (40, True)]
    assert found.unbroken
    never_confirmed = Service(limit=10**9, bad_calls=tuple(range(5, 100)))
    assert climb(never_confirmed.hold, OBJECTIVE, step=10, max_users=45).knee is None
    assert len(never_confirmed.asked) == 8


@pytest.mark.parametrize("broken", [{"requests": 0}, {"p95": 100.1}, {"failures": 1}])
def test_what_breaks_the_objective(broken: dict[str, int]) -> None:
    assert held(10, p95=100).meets(OBJECTIVE)
    assert not replace(held(10), **broken).meets(OBJECTIVE)


def test_the_spread_is_of_the_rates_at_the_knees() -> None:
    climbs = [Climb([held(users)], held(users), False) for users in (60, 80, 70)]
    found = spread(climbs)
    assert (found.middle, found.least, found.most) == (70, 60, 80)
    assert spread([*climbs, Climb([], None, False)]).least == 0
