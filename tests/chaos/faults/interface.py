"""What a fault is: a promise, something that happens, and a check whether the promise held."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from infra.local.errors import LocalError
from tests.chaos.facts import Facts
from tests.chaos.system import Run, Step, System


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has happened: when (time.monotonic), where, to which execution, and what there was before.

    `broken` are promises that broke while it happened, `object_key` is the object by which a fault of S3 is checked.
    """

    at: float
    where: str
    before: Facts
    run: Run | None = None
    broken: Sequence[str] = ()
    object_key: str = ""


@dataclass(slots=True)
class Verified:
    """What came, in a few words, and the promises that are broken, each as a sentence."""

    came: str
    broken: list[str] = field(default_factory=list)


class NotInjected(LocalError):
    """The fault could not be brought about, so nothing is known about its promise."""


class Fault(Protocol):
    """`most_failures` is how many requests may fail from the fault to the recovery; None: any number."""

    @property
    def name(self) -> str: ...
    @property
    def promise(self) -> str: ...
    @property
    def most_failures(self) -> int | None: ...
    @property
    def any_step(self) -> bool:
        """Whether it can happen at each step of an execution."""
        ...

    def obstacle(self) -> str | None:
        """Why this machine or user cannot bring it about; None if they can."""
        ...

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        """Raises NotInjected, or LocalError if the platform does not work before the fault."""
        ...

    def repair(self, system: System) -> None:
        """What is left to the operator; nothing for most faults. Raises LocalError if it fails."""
        ...

    def has_recovered(self, system: System, injected: Injected) -> bool: ...

    def verify(self, system: System, injected: Injected) -> Verified:
        """Called after the recovery."""
        ...

    def put_back(self, system: System) -> None:
        """Undoes what only the fault needed, such as a small disk. Called at the end, whatever came before, and may be
        called when nothing has been done."""
        ...
