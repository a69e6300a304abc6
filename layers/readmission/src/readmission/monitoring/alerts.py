"""What the monitor alerts about, and what to do then.

Chance is allowed for beside each limit: an index may be larger by as much as it gets by chance in so few rows, and a
loss of quality counts if the whole interval is beyond the limit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from readmission.evaluation.quality import Figure
from readmission.evaluation.reference import Drift, Reference
from readmission.settings import MonitorLimits

type Code = Literal[
    "input_drift",
    "forecast_drift",
    "estimated_quality",
    "realised_quality",
    "missing",
    "new_categories",
    "delivery_quality",
]

_STANDARD_ERRORS: Final = 4
_WHAT_TO_DO: Final[Mapping[Code, str]] = {
    "input_drift": (
        "Look at how this input is recorded now: a changed code or unit must be mended at its source. If the patients"
        " themselves are others, train again with the new rows, and compare the estimated quality."
    ),
    "forecast_drift": (
        "See which inputs drifted. If none did, the mix of patients changed: compare realised with estimated quality"
        " before relying on the threshold that you use."
    ),
    "estimated_quality": (
        "The forecasts tell these patients apart less well than those of the training. Wait for the labels if they come"
        " soon; otherwise train again with the new rows."
    ),
    "realised_quality": (
        "The labels show that the forecasts are worse than when the version was promoted. Train again with the new rows"
        " (make pipeline), or put the version before it back (make rollback)."
    ),
    "missing": "Ask the site why the value is no longer recorded. The forecasts do without it, and are less certain.",
    "new_categories": (
        "The model knows nothing of these values and treats them as unknown. Map them to the codes of the data contract"
        " at the source or, if they are right, train again."
    ),
    "delivery_quality": (
        "Look at the delivery (make deliveries) and at the table quarantine; take it back if it is wrong (make"
        " withdraw)."
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """A limit that was exceeded: by what (`subject`), and how far."""

    code: Code
    subject: str
    value: float
    limit: float

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "subject": self.subject,
            "value": round(self.value, 6),
            "limit": round(self.limit, 6),
            "what_to_do": _WHAT_TO_DO[self.code],
        }


def of_inputs(
    drifts: Sequence[Drift], closest: Mapping[str, float | None], rows: int, limits: MonitorLimits
) -> Iterator[Alert]:
    """The alerts about inputs, the largest drift first.

    `closest` is by name the index against the delivery that the version learned from and that is most like these rows.
    What looks like one of them is not new to the model, although the training rows as a whole may look otherwise.
    """
    for drift in sorted(drifts, key=lambda one: -one.psi):
        limit = limits.psi + drift.chance
        known = closest.get(drift.name)
        # Both have about as few rows.
        if drift.psi > limit and (known is None or known > limits.psi + 2 * drift.chance):
            yield Alert("input_drift", drift.name, drift.psi, limit)
    for drift in drifts:
        allowed = drift.reference_missing_share + limits.missing + _noise(drift.reference_missing_share, rows)
        if drift.missing_share > allowed:
            yield Alert("missing", drift.name, drift.missing_share, allowed)
        allowed = limits.new_share + 2 * drift.new_by_chance + _noise(drift.new_by_chance, rows)
        if drift.new_share > allowed:
            yield Alert("new_categories", drift.name, drift.new_share, allowed)


def of_forecasts(psi: float, chance: float, limits: MonitorLimits) -> Iterator[Alert]:
    """The alert about the forecasts' drift."""
    if psi > limits.psi + chance:
        yield Alert("forecast_drift", "forecasts", psi, limits.psi + chance)


def of_quality(
    code: Literal["estimated_quality", "realised_quality"],
    figures: Mapping[str, Figure] | None,
    reference: Reference | None,
    limits: MonitorLimits,
) -> Iterator[Alert]:
    """The alerts about quality; estimates are compared with the estimate for the validation rows of the training."""
    if figures is None or reference is None:
        return
    baseline = reference.quality["estimated" if code == "estimated_quality" else "realised"]
    auc, loss = baseline["auc_early"]["value"], baseline["log_loss"]["value"]
    if auc is not None and figures["auc_early"].high < auc - limits.auc_loss:
        yield Alert(code, "auc_early", figures["auc_early"].value, auc - limits.auc_loss)
    if loss is not None and figures["log_loss"].low > loss + limits.log_loss_gain:
        yield Alert(code, "log_loss", figures["log_loss"].value, loss + limits.log_loss_gain)


def of_calibration(realised: Mapping[str, Figure] | None, noise: float, limits: MonitorLimits) -> Iterator[Alert]:
    """The alert about the calibration; `noise` is how large its error gets by chance."""
    limit = limits.calibration_error + noise
    if realised is not None and realised["calibration_error_early"].value > limit:
        yield Alert("realised_quality", "calibration_error_early", realised["calibration_error_early"].value, limit)


def of_delivery(
    invalid_share: float, rows: int, before: float | None, notable: Sequence[str], limits: MonitorLimits
) -> Iterator[Alert]:
    """The alerts about a delivery of so many rows; `before` is the invalid share of the site's earlier ones.

    `notable` are the columns in which it differs from them, by its check.
    """
    if before is not None and rows:
        allowed = before + limits.invalid_gain + _noise(before, rows)
        if invalid_share > allowed:
            yield Alert("delivery_quality", "invalid rows", invalid_share, allowed)
    if notable:
        yield Alert("delivery_quality", f"columns: {', '.join(notable)}", len(notable), 0)


def _noise(share: float, rows: int) -> float:
    """How far a share of so many rows may be above the expected one by chance."""
    share = min(max(share, 1 / rows), 1.0)
    return _STANDARD_ERRORS * math.sqrt(share * (1 - share) / rows)
