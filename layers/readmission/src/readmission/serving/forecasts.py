"""The forecast of a served model for one encounter."""

from collections.abc import Mapping, Sequence
from typing import Any

from readmission.domain.features import inputs_of
from readmission.errors import ScorerInvalid
from readmission.scoring.scorer import Scorer
from readmission.serving.encounters import Asked
from readmission.serving.model_cache import Served
from readmission.serving.risk import band, percentile_of

EARLY = "<30"


def forecast(served: Served, asked: Asked) -> dict[str, Any]:
    """A `schemas.Forecast`. Raises `ScorerInvalid` if the model cannot score these fields."""
    return with_history(asked, forecast_of(served.scorer, inputs_of(asked.fields)))


def forecast_of(scorer: Scorer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A `schemas.Forecast` without the history. Raises `ScorerInvalid` if the model cannot score these inputs."""
    return forecast_by(scorer, scorer.probabilities([inputs[name] for name in scorer.features]))


def forecast_by(scorer: Scorer, shares: Sequence[float]) -> dict[str, Any]:
    """The same by the probabilities that the model gives, in the order of its classes."""
    probabilities = dict(zip(scorer.classes, shares, strict=True))
    return {
        "readmitted": max(probabilities, key=probabilities.__getitem__),
        "probabilities": probabilities,
        "early_risk": _early_risk(scorer.risk_quantiles, probabilities[EARLY]),
    }


def forecasts(served: Served, encounters: Sequence[Asked]) -> list[dict[str, Any] | ScorerInvalid]:
    """`forecast` of each encounter, or why there is none. Many are faster than one by one."""
    scorer = served.scorer
    inputs = map(inputs_of, (asked.fields for asked in encounters))
    shares = scorer.probabilities_of([[one[name] for name in scorer.features] for one in inputs])
    return [
        found if isinstance(found, ScorerInvalid) else with_history(asked, forecast_by(scorer, found))
        for asked, found in zip(encounters, shares, strict=True)
    ]


def with_history(asked: Asked, found: dict[str, Any]) -> dict[str, Any]:
    """The forecast, and what the look-up of the patient's history found, if there was one."""
    return found if asked.history is None else found | {"history": asked.history}


def answered_by(served: Served, request_id: str) -> dict[str, str]:
    """A `schemas.Answer`."""
    version = served.version
    return {
        "model_name": version.name,
        "model_version": version.number,
        "data_kind": version.data_kind,
        "request_id": request_id,
    }


def _early_risk(quantiles: tuple[float, ...] | None, probability: float) -> dict[str, Any]:
    # Rounded before the band is chosen, so that a percentile shown as 90.0 is always very high.
    percentile = None if quantiles is None else round(percentile_of(quantiles, probability), 1)
    return {
        "probability": probability,
        "band": None if percentile is None else band(percentile),
        "percentile": percentile,
    }
