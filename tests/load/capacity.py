"""Finds the capacity: add users until the objective is missed, step back, and confirm."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Objective:
    """The service level at a number of users: p95 of all requests in ms, and how many failures are allowed."""

    p95_ms: float = 100.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The requests at a number of users; times in ms, rate in requests a second.

    `settling` and `settling_slowest` describe the time before the measurement, in which users arrive and instances
    start. Its failures count; its times do not.
    """

    users: int
    requests: int
    failures: int
    rate: float
    mean: float
    p50: float
    p95: float
    p99: float
    settling: int
    settling_slowest: float
    processor: float  # Locust's own, in processors
    confirms: bool = False
    p95_by_kind: Mapping[str, float] = field(default_factory=dict)

    def meets(self, objective: Objective) -> bool:
        return self.requests > 0 and self.p95 <= objective.p95_ms and self.failures <= objective.failures


@dataclass(frozen=True, slots=True)
class Climb:
    """All measurements in order, the confirmed knee, and whether the climb ended without missing the objective."""

    held: Sequence[Held]
    knee: Held | None
    unbroken: bool


type Hold = Callable[[int, bool], Held]


def climb(hold: Hold, objective: Objective, step: int, max_users: int) -> Climb:
    """Hold `step`, 2 `step`, … users until the objective is missed or `max_users` is reached, then step back until it
    is met again.

    A number of users that is too slow gets a second try, because cold starts are not steady-state capacity. A failure
    counts at once.

    `hold(users, confirms)` measures. It is called at most 3 `max_users` / `step` times.
    """
    held: list[Held] = []
    good = 0
    for users in range(step, max_users + 1, step):
        held.append(hold(users, False))
        if not held[-1].meets(objective) and held[-1].failures <= objective.failures:
            held.append(hold(users, False))
        if not held[-1].meets(objective):
            break
        good = users
    unbroken = bool(held) and held[-1].meets(objective)
    for users in range(good, 0, -step):
        held.append(hold(users, True))
        if held[-1].meets(objective):
            return Climb(held, held[-1], unbroken)
    return Climb(held, None, unbroken)


@dataclass(frozen=True, slots=True)
class Spread:
    """The knees of several climbs; a climb without one counts as 0."""

    middle: float
    least: float
    most: float


def spread(climbs: Sequence[Climb]) -> Spread:
    """The requests a second at the knees."""
    rates = [one.knee.rate if one.knee else 0.0 for one in climbs]
    return Spread(median(rates), min(rates), max(rates))
