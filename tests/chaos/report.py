"""The outcomes as a table for people, and as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from infra.local.terminal import table
from tests.chaos.runner import Outcome

HEADER = ("FAULT", "PROMISED", "CAME", "RECOVERED IN")


def text(outcomes: Sequence[Outcome], left: Sequence[str], seed: int) -> str:
    """The table; below it the broken promises, the faults for which there was no time, and how many promises held."""
    rows = [(_title(one), one.promise, _verdict(one), _seconds(one)) for one in outcomes]
    broken = [f"{_title(one)}: {sentence}" for one in outcomes for sentence in one.broken]
    missing = [f"Not run: {', '.join(left)}"] if left else []
    return "\n".join([table([HEADER, *rows]), "", *broken, *missing, _summary(outcomes, seed)])


def document(outcomes: Sequence[Outcome], left: Sequence[str], seed: int) -> str:
    """JSON with the seed, one object for each outcome, and the faults for which there was no time."""
    faults: list[dict[str, Any]] = [
        {
            "fault": one.title,
            "round": one.round,
            "promised": one.promise,
            "came": one.came,
            "seconds_to_recover": one.seconds,
            "injected": one.injected,
            "held": one.held,
            "broken": list(one.broken),
        }
        for one in outcomes
    ]
    return json.dumps({"seed": seed, "faults": faults, "not_run": list(left)}, indent=1)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 if a promise is broken, or nothing is known about one because its fault could not be brought about."""
    return int(not outcomes or not all(one.held for one in outcomes))


def line(outcome: Outcome) -> str:
    """For the screen, as soon as it is known; what is broken in lines of its own."""
    first = f"chaos       {outcome.title}: {_verdict(outcome)}{_in(outcome)}"
    return "\n".join([first, *(f"{'':12}{what}" for what in outcome.broken)])


def _title(one: Outcome) -> str:
    return one.title if one.round == 1 else f"{one.title}, round {one.round}"


def _verdict(one: Outcome) -> str:
    return f"BROKEN: {one.came}" if one.broken else one.came


def _seconds(one: Outcome) -> str:
    return "-" if one.seconds is None else f"{one.seconds:.1f} s"


def _in(one: Outcome) -> str:
    return "" if one.seconds is None else f" ({one.seconds:.1f} s)"


def _summary(outcomes: Sequence[Outcome], seed: int) -> str:
    injected = sum(one.injected for one in outcomes)
    broken = sum(bool(one.broken) for one in outcomes)
    failed = len(outcomes) - injected
    rest = f"; {failed} could not be brought about" if failed else ""
    return f"{injected} faults, {injected - broken} promises held, {broken} broken{rest}. Repeat with SEED={seed}"
