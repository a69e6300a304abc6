"""One window of the monitor's document: quality, drift, groups and alerts of some rows, judged by one version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation import cbpe, quality
from readmission.evaluation.arrays import Floats
from readmission.evaluation.quality import Figure
from readmission.evaluation.reference import Drift, Reference, nearest
from readmission.monitoring import alerts
from readmission.monitoring.alerts import Alert
from readmission.monitoring.rows import Rows
from readmission.monitoring.versions import Judge
from readmission.settings import MonitorLimits

# With fewer rows, or fewer labels of either kind, the intervals say nothing.
FEWEST_ROWS: Final = 100
_FEWEST_OF_A_KIND: Final = 10


@dataclass(frozen=True, slots=True)
class Window:
    """What was found. `drifts` are None without a reference; `forecast_psi` is index and what chance makes of it.

    `calibration_noise` is how large the calibration error of the labelled rows may be by chance.
    """

    rows: Rows
    judge: Judge
    probability: Floats
    realised: Mapping[str, Figure] | None
    estimated: Mapping[str, Figure] | None
    calibration_noise: float
    drifts: Sequence[Drift] | None
    forecast_psi: tuple[float, float] | None

    @classmethod
    def judged(cls, rows: Rows, judge: Judge) -> "Window":
        """The rows as the version sees them; logged forecasts are not made again."""
        probability = judge.forecasts(rows.columns) if rows.logged is None else rows.logged
        compared = judge.reference is not None and len(rows) > 0
        estimated = _estimated(probability)
        noise = estimated if rows.due.all() else _estimated(probability[rows.due])
        return cls(
            rows=rows,
            judge=judge,
            probability=probability,
            realised=_realised(rows, probability, rows.due),
            estimated=_widened(estimated, judge.reference),
            calibration_noise=noise["calibration_error_early"].high if noise else 0.0,
            drifts=judge.reference.inputs(rows.columns) if judge.reference and compared else None,
            forecast_psi=judge.reference.forecasts(probability) if judge.reference and compared else None,
        )

    def closest(self, learned: Sequence[Sequence[Drift]]) -> dict[str, float | None]:
        """By input, the index against the most similar of the deliveries that the version has learned from.

        `learned` has the drift of each of them from the version's reference.
        """
        return {
            drift.name: nearest(drift, [other[place] for other in learned])
            for place, drift in enumerate(self.drifts or ())
        }

    def alerts(self, closest: Mapping[str, float | None], limits: MonitorLimits) -> Iterator[Alert]:
        """What is beyond the limits; none if there are too few rows to say anything."""
        if len(self.rows) < FEWEST_ROWS:
            return
        if self.drifts is not None and self.forecast_psi is not None:
            yield from alerts.of_inputs(self.drifts, closest, len(self.rows), limits)
            yield from alerts.of_forecasts(*self.forecast_psi, limits)
        yield from alerts.of_quality("estimated_quality", self.estimated, self.judge.reference, limits)
        yield from alerts.of_quality("realised_quality", self.realised, self.judge.reference, limits)
        yield from alerts.of_calibration(self.realised, self.calibration_noise, limits)

    def as_json(self, closest: Mapping[str, float | None]) -> dict[str, Any]:
        """The part of the document that does not depend on the kind of the window."""
        return {
            "version": self.judge.number,
            "forecasts": len(self.rows),
            "labels": int(self.rows.due.sum()),
            "realised": _figures(self.realised),
            "estimated": _figures(self.estimated),
            "drift": None if self.drifts is None else self._drift(self.drifts, closest),
            "why_no_drift": None if self.drifts is not None else self.judge.without_reference or "there are no rows",
            "groups": list(self._groups()),
        }

    def _drift(self, drifts: Sequence[Drift], closest: Mapping[str, float | None]) -> dict[str, Any]:
        assert self.forecast_psi is not None
        return {
            "inputs": [
                {
                    "name": one.name,
                    "psi": round(one.psi, 6),
                    "psi_by_chance": round(one.chance, 6),
                    "psi_of_most_similar_delivery": _rounded(closest.get(one.name)),
                    "missing_share": round(one.missing_share, 6),
                    "reference_missing_share": round(one.reference_missing_share, 6),
                    "new_categories": list(one.new),
                    "new_share": round(one.new_share, 6),
                }
                for one in drifts
            ],
            "forecasts": {"psi": round(self.forecast_psi[0], 6), "psi_by_chance": round(self.forecast_psi[1], 6)},
        }

    def _groups(self) -> Iterator[dict[str, Any]]:
        for by, values in self.rows.groups.items():
            for value in sorted(set(values.tolist())):
                inside = values == value
                yield {
                    "by": by,
                    "value": value,
                    "rows": int(inside.sum()),
                    "labels": int((inside & self.rows.due).sum()),
                    "realised": _figures(_realised(self.rows, self.probability, inside & self.rows.due)),
                    "estimated": _figures(_widened(_estimated(self.probability[inside]), self.judge.reference)),
                }


def _realised(rows: Rows, probability: Floats, used: NDArray[np.bool_]) -> dict[str, Figure] | None:
    early = rows.early[used]
    if len(early) < FEWEST_ROWS or min(early.sum(), (~early).sum()) < _FEWEST_OF_A_KIND:
        return None
    return quality.realised(early, probability[used], rows.patients[used])


def _estimated(probability: Floats) -> dict[str, Figure] | None:
    expected = probability.sum()
    if len(probability) < FEWEST_ROWS or min(expected, len(probability) - expected) < _FEWEST_OF_A_KIND:
        return None
    return cbpe.estimated(probability)


def _widened(figures: dict[str, Figure] | None, reference: Reference | None) -> dict[str, Figure] | None:
    return cbpe.widened(figures, reference.quality["estimated"]) if figures and reference else figures


def _figures(figures: Mapping[str, Figure] | None) -> dict[str, Any] | None:
    return None if figures is None else {name: figure.as_json() for name, figure in figures.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
