"""Why a promotion was decided as it was, derived from the ledger's figures instead of its English sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from readmission.client import Decision
from readmission.promotion.reasons import Code

MOVES: Final = ("promoted", "rolled back")
"""The decisions that put a version into production."""
_CODES: Final = frozenset(get_args(Code.__value__))


@dataclass(frozen=True, slots=True)
class Reason:
    """What decided; `subgroups` are those whose AUC fell with the 95 % interval below zero, worst first."""

    code: Code
    subgroups: tuple[str, ...] = ()


def reason(decision: Decision, decisions: Sequence[Decision]) -> Reason:
    """The reason for a decision. `decisions` are the ledger's, newest first, the decision itself included.

    Decisions of earlier releases have no code; theirs is derived from the figures.
    """
    metrics = decision["metrics"]
    if (code := decision.get("reason_code")) in _CODES:
        return Reason(cast(Code, code), _lost(metrics.get("difference") or {}))
    if decision["decision"] == "rolled back":
        return Reason("by_hand")
    promoted = decision["decision"] == "promoted"
    if difference := metrics.get("difference"):
        return _compared(difference, promoted)
    if promoted:
        return Reason(_promoted(decision, decisions))
    if metrics.get("challenger"):
        return Reason("miscalibrated")
    return Reason(_refused(decision, decisions))


def _compared(difference: dict[str, Any], promoted: bool) -> Reason:
    high = difference["log_loss"]["high"]
    better = high is not None and high < 0
    if promoted:
        return Reason("better" if better else "newer")
    subgroups = _lost(difference)
    return Reason("worse_in_subgroups" if better and subgroups else "not_better", subgroups)


def _lost(difference: dict[str, Any]) -> tuple[str, ...]:
    """The subgroups whose AUC fell for certain, worst first."""
    losses = {name: one["value"] for name, one in (difference.get("subgroups") or {}).items() if (one["high"] or 0) < 0}
    return tuple(sorted(losses, key=losses.__getitem__))


def _promoted(decision: Decision, decisions: Sequence[Decision]) -> Code:
    """For a promotion that was not compared with the version in production."""
    previous = decision["previous_version"]
    if previous is None:
        return "first"
    kinds = {_kind_of(previous, decisions), decision["data_kind"]}
    return "real_over_synthetic" if kinds == {"real", "synthetic"} else "previous_unusable"


def _refused(decision: Decision, decisions: Sequence[Decision]) -> Code:
    """For a rejection before the model's test figures were computed."""
    previous = decision["previous_version"]
    if previous is not None and decision["data_kind"] == "synthetic" and _kind_of(previous, decisions) == "real":
        return "synthetic_over_real"
    for earlier in decisions:
        if earlier["id"] >= decision["id"] or earlier["decision"] not in MOVES:
            continue
        if earlier["version"] == decision["version"]:
            break
        if earlier["decision"] == "rolled back" and earlier["previous_version"] == decision["version"]:
            return "rolled_back_before"
    return "unusable"


def _kind_of(version: str, decisions: Sequence[Decision]) -> str | None:
    return next((one["data_kind"] for one in decisions if one["version"] == version), None)
