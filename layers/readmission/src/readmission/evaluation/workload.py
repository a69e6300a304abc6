"""How many patients a team can call, and what it finds: read from the workload of an evaluation document.

Nothing here needs more than Python: the pages and the model card use it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_ROUNDING: Final = 1e-6  # of the shares in the document


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; None where the test rows cannot tell."""

    value: float | None
    low: float | None
    high: float | None

    def mapped(self, function: Callable[[float], float | None], *, falling: bool = False) -> "Interval":
        """Of another figure, which is a function of this one that rises or falls."""
        value, low, high = (None if one is None else function(one) for one in (self.value, self.low, self.high))
        return Interval(value, high, low) if falling else Interval(value, low, high)


@dataclass(frozen=True, slots=True)
class Plan:
    """What calling every patient with an early risk of at least `threshold` means for a day, on average.

    `calls` are the patients called, at most as many as asked for; `hits` those of them who are readmitted within 30
    days, and `misses` the others who are. `to_call` is how many patients have to be called to reach one who is.
    """

    threshold: float
    calls: float
    hits: Interval
    misses: Interval
    ppv: Interval
    recall: Interval
    to_call: Interval


def plan(points: Sequence[Mapping[str, Any]], base_rate: float, discharges: float, calls: float) -> Plan | None:
    """The best use of `calls` a day among `discharges` a day, both above 0, by the test rows' workload and base rate.

    None if the test rows cannot tell: they have too few of the highest risks, or too many that are equal.
    """
    share = min(calls / discharges, 1.0)
    fitting = [point for point in points if point["share"] <= share + _ROUNDING and point["ppv"] is not None]
    if not fitting:
        return None
    point = max(fitting, key=lambda one: float(one["share"]))
    called, readmitted = discharges * point["share"], discharges * base_rate
    ppv, recall = _interval(point, "ppv"), _interval(point, "recall")
    return Plan(
        threshold=point["threshold"],
        calls=called,
        hits=ppv.mapped(lambda share: called * share),
        misses=recall.mapped(lambda share: readmitted * (1 - share), falling=True),
        ppv=ppv,
        recall=recall,
        to_call=ppv.mapped(lambda share: 1 / share if share else None, falling=True),
    )


def _interval(point: Mapping[str, Any], name: str) -> Interval:
    return Interval(point[name], point[f"{name}_low"], point[f"{name}_high"])
