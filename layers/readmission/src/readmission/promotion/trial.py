"""How a challenger does on live requests: the evidence from the prediction log, and the rules about it.

Each logged forecast has what the version in Production and the challenger said of the same encounter. The rules are
pure functions from that evidence to a reason to withdraw the challenger, or none.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pg8000.native import Connection

from readmission.evaluation import comparison
from readmission.evaluation.arrays import Floats, json_value
from readmission.evaluation.metrics import row_losses
from readmission.promotion.reasons import Code
from readmission.promotion.verdict import MARGIN

CLASSES: Final = ("<30", ">30", "NO")
"""The order of a row of probabilities."""

CHECK_FROM: Final = 100
"""Forecasts from which on a challenger is withdrawn for what it forecasts; for errors, from the first on."""
# The mean probability of a class may differ from that of Production by this much, beyond what chance does (95 %). With
# the shares of UCI's classes, 11, 35 and 54 %, two swapped classes differ by at least .19.
LARGEST_SHIFT: Final = 0.05
# Versions that learned from similar data rank the same patients alike; a constant ranks nobody, and swapped classes
# rank in another order.
LEAST_CORRELATION: Final = 0.5
# Fewer different forecasts of Production say nothing about the ranks: it may be the same few patients again.
ENOUGH_FORECASTS: Final = 10
# A slow forecast stops the challenger in its process. One may be the machine's fault; not three, nor a process that
# would have answered every twentieth request.
MOST_SLOW: Final = 2
MOST_STOPPED: Final = 0.05
ENOUGH_STOPPED: Final = 20
# With fewer labels, an interval that excludes 0 is chance too often.
ENOUGH_LABELS: Final = 200

_SLOW: Final = ("Slow", "Stopped")  # the names of errors that need not be the scorer's fault
_MOST_LABELS: Final = 20_000  # of the newest, that are compared each time

# The placeholder is one of two names of this module.
_READ: Final = """
    SELECT answered_by = 'canary', p_early, p_late, p_none, other_p_early, other_p_late, other_p_none, other_error,
        other_seconds, {label},
        coalesce(patient_key, site || ' ' || encounter_id, CAST(row_number() OVER () AS text))
    FROM {table}
    WHERE model_name = :model_name AND answered_at >= :since
        AND (model_version = :production AND other_version = :challenger
            OR model_version = :challenger AND other_version = :production)
    ORDER BY answered_at DESC LIMIT :limit
"""
# `<30` is known as soon as the patient is back; "NO" says "not yet" until some days after the discharge.
LABEL: Final = """
    CASE
        WHEN readmitted = '<30'
            OR CAST(known_at AT TIME ZONE 'UTC' AS date) >= discharged_on + CAST(:due AS integer)
        THEN readmitted
    END
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """The two versions of a model whose forecasts are compared."""

    model_name: str
    production: str
    challenger: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """What both versions said of the same encounters.

    `challenger` and `production` are probabilities (forecasts x `CLASSES`), `labels` the class that came true, or None,
    and `patients` whose forecasts they are, as far as known. `errors` counts the forecasts that the challenger owes, by
    name. Of the others it answered `canaried`, and took `seconds` for each. `weights` of the classes are those by which
    it is meant to forecast otherwise, as a recalibration of the version in Production.
    """

    challenger: Floats
    production: Floats
    labels: NDArray[np.object_]
    patients: NDArray[np.str_]
    seconds: Floats = field(default_factory=lambda: np.zeros(0))
    errors: Mapping[str, int] = field(default_factory=dict)
    canaried: int = 0
    weights: Floats | None = None

    @classmethod
    def load(cls, clean: Connection, versions: Versions, since: datetime, due_days: int, limit: int) -> Self:
        """The newest pairs of the two versions since a time, at most `limit`."""
        label, table = labels_of(clean)
        found = clean.run(
            _READ.format(label=label, table=table),
            model_name=versions.model_name,
            production=versions.production,
            challenger=versions.challenger,
            since=since,
            limit=limit,
            **({"due": due_days} if label == LABEL else {}),
        )
        whole = [row for row in found if row[4] is not None and row[7] is None]
        both = np.asarray([row[1:7] for row in whole], dtype=np.float64).reshape(-1, 2, 3)
        canary = np.asarray([row[0] for row in whole], dtype=bool)
        answered, other = both[:, 0], both[:, 1]
        return cls(
            challenger=np.where(canary[:, np.newaxis], answered, other),
            production=np.where(canary[:, np.newaxis], other, answered),
            labels=np.asarray([row[9] for row in whole], dtype=object),
            patients=np.asarray([row[10] for row in whole], dtype=np.str_),
            seconds=np.asarray([row[8] for row in whole if not row[0]], dtype=np.float64),
            errors=Counter(row[7] for row in found if row[7] is not None and not row[0]),
            canaried=int(canary.sum()),
        )

    def __len__(self) -> int:
        return len(self.challenger)


def labels_of(clean: Connection) -> tuple[str, str]:
    """The expression of a forecast's final label, and the table that has it; NULL before there are any outcomes."""
    ((exists,),) = clean.run("SELECT to_regclass('forecast_outcome') IS NOT NULL")
    return (LABEL, "forecast_outcome") if exists else ("NULL", "prediction")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the pairs say. Figures are None where there are too few forecasts for them.

    `agreement` is the share of the same most probable class, `correlation` the lowest rank correlation over the classes
    (None if Production hardly varies), `shifts` challenger minus Production in the mean probability of each class.
    `unintended` are the same for a recalibration, without the shift that its weights are to make.
    `estimated` is the log loss that each version expects of itself, and `realised` that of the labelled forecasts.
    """

    forecasts: int
    canaried: int
    errors: dict[str, int]
    labels: int
    agreement: float | None = None
    correlation: float | None = None
    constant: bool = False
    shifts: dict[str, comparison.Difference] = field(default_factory=dict)
    unintended: dict[str, comparison.Difference] | None = None
    estimated: dict[str, float] | None = None
    realised: dict[str, float] | None = None
    difference: comparison.Difference | None = None
    milliseconds: dict[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """The same for the ledger."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["shifts"] = {name: _plain(shift) for name, shift in self.shifts.items()}
        if self.unintended is None:
            del found["unintended"]
        else:
            found["unintended"] = {name: _plain(shift) for name, shift in self.unintended.items()}
        found["difference"] = self.difference and _plain(self.difference)
        plain: dict[str, Any] = json_value(found)
        return plain


def _plain(difference: comparison.Difference) -> dict[str, float]:
    return {"value": difference.value, "low": difference.low, "high": difference.high}


def evidence(pairs: Pairs) -> Evidence:
    """What the pairs say of the challenger."""
    labelled = np.flatnonzero(pairs.labels != None)[:_MOST_LABELS]  # noqa: E711  # element by element
    found = Evidence(len(pairs), pairs.canaried, dict(pairs.errors), len(labelled))
    if not len(pairs):
        return found
    weighted = pairs.production if pairs.weights is None else _weighted(pairs.production, pairs.weights)
    early = pairs.challenger[:, 0].round(9)
    varies = len(np.unique(pairs.production[:, 0].round(9))) >= ENOUGH_FORECASTS
    return Evidence(
        found.forecasts,
        found.canaried,
        found.errors,
        found.labels,
        agreement=float((pairs.challenger.argmax(axis=1) == pairs.production.argmax(axis=1)).mean()),
        correlation=_correlation(pairs) if varies else None,
        constant=varies and bool((early == early[0]).all()),
        shifts=_shifts(pairs.challenger - pairs.production),
        unintended=None if pairs.weights is None else _shifts(pairs.challenger - weighted),
        estimated={"challenger": _expected(pairs.challenger), "production": _expected(pairs.production)},
        milliseconds=_milliseconds(pairs.seconds),
        **_realised(pairs, labelled),
    )


def _correlation(pairs: Pairs) -> float:
    """The lowest of Spearman's over the classes; 0 for a class to which the challenger always gives the same."""
    found = []
    for mine, theirs in zip(pairs.challenger.T, pairs.production.T, strict=True):
        ranks, others = (pd.Series(one.round(9)).rank().to_numpy(dtype=np.float64) for one in (mine, theirs))
        if others.std():
            found.append(float(np.corrcoef(ranks, others)[0, 1]) if ranks.std() else 0.0)
    return min(found, default=0.0)


def _shifts(differences: Floats) -> dict[str, comparison.Difference]:
    return {name: _mean(differences[:, index]) for index, name in enumerate(CLASSES)}


def _weighted(forecasts: Floats, weights: Floats) -> Floats:
    """What the forecasts become if they are recalibrated by the weights."""
    weighted: Floats = forecasts * weights
    return weighted / weighted.sum(axis=1, keepdims=True)


def _mean(values: Floats) -> comparison.Difference:
    """The mean with its 95 % interval."""
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    return comparison.Difference(mean, mean - half, mean + half)


def _expected(probabilities: Floats) -> float:
    """The log loss that would come true if the probabilities did: what a version expects of itself."""
    clipped = np.clip(probabilities, 1e-15, 1)
    return float(-(clipped * np.log(clipped)).sum(axis=1).mean())


def _milliseconds(seconds: Floats) -> dict[str, float] | None:
    if not len(seconds):
        return None
    return {name: float(np.quantile(seconds, share) * 1000) for name, share in (("p50", 0.5), ("p99", 0.99))}


def _realised(pairs: Pairs, labelled: NDArray[np.intp]) -> dict[str, Any]:
    if len(labelled) < ENOUGH_LABELS:
        return {}
    target = pairs.labels[labelled].astype(str)
    mine, theirs = pairs.challenger[labelled], pairs.production[labelled]
    return {
        "realised": {
            "challenger": float(row_losses(target, mine, CLASSES).mean()),
            "production": float(row_losses(target, theirs, CLASSES).mean()),
        },
        "difference": comparison.loss_difference(target, pairs.patients[labelled], mine, theirs, CLASSES),
    }


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a challenger is withdrawn."""

    code: Code
    reason: str


def objection(found: Evidence) -> Objection | None:
    """The first reason to withdraw the challenger, or None."""
    return _errors(found) or (_forecasts(found) if found.forecasts >= CHECK_FROM else None)


def _errors(found: Evidence) -> Objection | None:
    asked = found.forecasts + sum(found.errors.values())
    broken = {name: count for name, count in found.errors.items() if name not in _SLOW}
    if broken:
        return Objection("broken", f"failed on {_listed(broken)} of {asked:,} forecasts")
    slow, stopped = found.errors.get("Slow", 0), sum(found.errors.values())
    if slow > MOST_SLOW or (asked >= ENOUGH_STOPPED and stopped > MOST_STOPPED * asked):
        return Objection("slow", f"was too slow {slow} times, and {stopped:,} of {asked:,} forecasts lack it")
    return None


def _listed(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} ({name})" for name, count in sorted(errors.items()))


def _forecasts(found: Evidence) -> Objection | None:
    if found.constant:
        return Objection("constant", f"gives every one of {found.forecasts:,} encounters the same risk")
    intended = "" if found.unintended is None else " beyond what its recalibration is to do"
    for name, shift in (found.shifts if found.unintended is None else found.unintended).items():
        if shift.low > LARGEST_SHIFT or shift.high < -LARGEST_SHIFT:
            return Objection(
                "shifted",
                f"shifts the mean probability of {name} by {shift}{intended} over {found.forecasts:,} forecasts, more"
                f" than {LARGEST_SHIFT}",
            )
    if found.correlation is not None and found.correlation < LEAST_CORRELATION:
        return Objection(
            "shifted",
            f"ranks {found.forecasts:,} encounters otherwise: rank correlation {found.correlation:.2f}, below"
            f" {LEAST_CORRELATION}",
        )
    if found.difference is not None and found.difference.low > 0 and found.difference.value > MARGIN:
        return Objection("worse", f"has a higher log loss over {found.labels:,} outcomes: {found.difference}")
    return None


def summary(found: Evidence) -> str:
    """The evidence in words, for the reason of a decision."""
    parts = [f"{found.forecasts:,} forecasts"]
    if found.canaried:
        parts.append(f"{found.canaried:,} answered by it")
    if found.agreement is not None:
        parts.append(f"the same class in {found.agreement:.0%}")
    if found.correlation is not None:
        parts.append(f"rank correlation {found.correlation:.2f}")
    if "<30" in found.shifts:
        parts.append(f"mean early risk {found.shifts['<30'].value:+.4f}")
    if found.estimated:
        parts.append(f"expected log loss {_against(found.estimated)}")
    if found.realised:
        parts.append(
            f"log loss over {found.labels:,} outcomes {_against(found.realised)}, difference {found.difference}"
        )
    return ", ".join(parts)


def _against(losses: Mapping[str, float]) -> str:
    return f"{losses['challenger']:.4f} against {losses['production']:.4f}"
