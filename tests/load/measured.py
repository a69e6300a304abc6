"""Summarises single requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.load import mix
from tests.load.capacity import Held


@dataclass(frozen=True, slots=True)
class Request:
    """When a request was sent (epoch, s), and how long its answer took."""

    kind: str
    began: float
    took: float  # ms
    failed: bool


def held_of(users: int, requests: Sequence[Request], began: float, ended: float, worked: float, confirms: bool) -> Held:
    """Summarises the requests sent from `began` to `ended`, whenever they were answered."""
    settling = [one.took for one in requests if one.began < began]
    measured = [one for one in requests if began <= one.began <= ended]
    took, seconds = sorted(one.took for one in measured), ended - began
    by_kind = {kind: sorted(one.took for one in measured if one.kind == kind) for kind in mix.SHARES}
    return Held(
        users=users,
        requests=len(took),
        failures=sum(one.failed for one in requests),
        rate=len(took) / seconds,
        mean=sum(took) / len(took) if took else 0.0,
        p50=quantile(took, 0.5),
        p95=quantile(took, 0.95),
        p99=quantile(took, 0.99),
        settling=len(settling),
        settling_slowest=max(settling, default=0.0),
        processor=worked / seconds,
        confirms=confirms,
        p95_by_kind={kind: quantile(its, 0.95) for kind, its in by_kind.items() if its},
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` of the values at or below it."""
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)] if ordered else 0.0
