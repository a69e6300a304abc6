"""Which faults happen, in which order and at which step: the same for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.faults.catalog import FAULTS
from tests.chaos.faults.interface import Fault
from tests.chaos.system import STEPS, Step


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault in a round (from 1). `seed` decides all that is random in it."""

    fault: Fault
    round: int
    step: Step
    seed: str

    @property
    def title(self) -> str:
        return f"{self.fault.name} ({self.step.name})" if self.fault.any_step else self.fault.name


def select(names: str | None) -> Sequence[Fault]:
    """The faults of a comma-separated list; by default all that can be brought about here. Raises ValueError for other
    names, which lists them, and for a fault that cannot be brought about here, which says why."""
    if not names:
        return [fault for fault in FAULTS if fault.obstacle() is None]
    known = {fault.name: fault for fault in FAULTS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"there is no fault {', '.join(map(repr, unknown))}; choose from: {', '.join(known)}")
    if impossible := [f"{name} is not possible here: {why}" for name in wanted if (why := known[name].obstacle())]:
        raise ValueError("; ".join(impossible))
    return [known[name] for name in dict.fromkeys(wanted)]


def impossible(names: str | None) -> list[str]:
    """The faults that `select` leaves out, each with its reason."""
    return [] if names else [f"{fault.name} ({why})" for fault in FAULTS if (why := fault.obstacle())]


def schedule(faults: Sequence[Fault], seed: int, rounds: int) -> list[Planned]:
    """Every fault once a round, in another order each round. Over eight rounds, a fault that can happen at any step
    happens at each."""
    planned: list[Planned] = []
    for number in range(1, rounds + 1):
        for fault in Random(f"{seed}:{number}").sample(faults, len(faults)):
            steps = Random(f"{seed}:{fault.name}").sample(STEPS, len(STEPS))
            planned.append(
                Planned(fault, number, steps[(number - 1) % len(STEPS)], seed=f"{seed}:{number}:{fault.name}")
            )
    return planned
