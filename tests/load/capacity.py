"""Finding the capacity: climb until the objective breaks, go back, and confirm."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Objective:
    """What must hold while a number of users is held: p95 of all requests in ms, and how many failures are allowed."""

    p95_ms: float = 100.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What was asked while so many users were held, and how it was answered; times in ms, rate in requests a second.

    `settling` and `settling_slowest` are of the time before, in which new users arrive and new instances start; their
    times count nowhere else, their failures do.
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
    """All that was held, in order; the knee, which was confirmed; whether the climb ended before anything broke."""

    held: Sequence[Held]
    knee: Held | None
    unbroken: bool


type Hold = Callable[[int, bool], Held]


def climb(hold: Hold, objective: Objective, step: int, max_users: int) -> Climb:
    """Hold `step`, 2 `step`, … users, until the objective breaks or `max_users` would be passed; then go back, a step
    at a time, to where it holds once more.

    A number of users that is too slow is held once more before it counts as such: an instance that starts meanwhile
    makes requests wait that another time would not. A failure counts at once.

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
    """Of the knees of several climbs; a climb without one counts as 0."""

    middle: float
    least: float
    most: float


def spread(climbs: Sequence[Climb]) -> Spread:
    """The requests a second at the knees."""
    rates = [one.knee.rate if one.knee else 0.0 for one in climbs]
    return Spread(median(rates), min(rates), max(rates))
