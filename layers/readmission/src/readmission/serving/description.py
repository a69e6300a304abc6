"""`GET /model`: the version in production, since when and why it is served, and its test metrics."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from readmission.http.problems import Refused
from readmission.registry.production import Version
from readmission.serving.model_cache import ModelCache, Registry, Served
from readmission.serving.openapi import refusals
from readmission.telemetry.metrics import SCORES

_CARDS: Final[Mapping[str, tuple[str, str]]] = {
    "markdown": ("model_card.md", "text/markdown"),
    "html": ("model_card.html", "text/html"),
}

_TEXTS: Final = {media_type: {"schema": {"type": "string"}} for _, media_type in _CARDS.values()}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The version in production, or its model card.", "content": _TEXTS},
    **refusals(_404="The version has no model card yet.", _422="`card` is not a known format."),
}

type Card = Literal["markdown", "html"]


class Figure(BaseModel):
    """A metric on the test rows, with its 95% confidence interval if there is one."""

    value: float
    low: float | None = None
    high: float | None = None


class ChallengerDescription(BaseModel):
    """The version that is tried on live requests."""

    version: Annotated[str, Field(examples=["4"])]
    family: Annotated[str, Field(examples=["gradient_boosting"])]
    since: Annotated[
        str | None, Field(description="Since when it shadows, or is a canary.", examples=["2026-01-02T12:00:00+00:00"])
    ]
    canary_share: Annotated[
        float, Field(description="The share of the patients that it answers; 0 while it shadows.", examples=[0.1])
    ]
    mlflow_run_id: Annotated[str, Field(description="The training run.", examples=["0d1e…"])]


class ModelDescription(BaseModel):
    """The version in production."""

    name: Annotated[str, Field(examples=["readmission"])]
    version: Annotated[str, Field(examples=["3"])]
    family: Annotated[str, Field(examples=["gradient_boosting"])]
    data_kind: Annotated[str, Field(description="The data it was trained on: real or synthetic.", examples=["real"])]
    sites: Annotated[
        list[str],
        Field(
            description="The sites whose encounters it learned from; empty if an earlier release trained it.",
            examples=[["default"]],
        ),
    ]
    recalibrated_for: Annotated[
        str | None,
        Field(
            description="The site whose base rates its forecasts have; null if it was not recalibrated for one.",
            examples=[None],
        ),
    ]
    serves_since: Annotated[
        str | None,
        Field(
            description="When it was last promoted or rolled back to; null if an earlier release did that.",
            examples=["2026-01-01T12:00:00+00:00"],
        ),
    ]
    reason: Annotated[
        str | None, Field(description="Why it was promoted or rolled back to.", examples=["version 3 is the first"])
    ]
    mlflow_run_id: Annotated[str, Field(description="The training run.", examples=["0d1e…"])]
    test_metrics: Annotated[
        dict[str, Figure],
        Field(description="Metrics by name.", examples=[{"auc_early": {"value": 0.67, "low": 0.65, "high": 0.69}}]),
    ]
    model_card: Annotated[
        dict[str, str],
        Field(description="Query strings of the model card, by format.", examples=[{"markdown": "?card=markdown"}]),
    ]
    challenger: Annotated[
        ChallengerDescription | None,
        Field(description="The version that is tried on live requests; missing without one."),
    ] = None


class _Figures:
    """Caches the test metrics of the last version asked for; those of a finished run do not change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: tuple[str, dict[str, Figure]] = "", {}

    def of(self, version: Version) -> dict[str, Figure]:
        """Raises `ModelUnavailable` if MLflow does not answer."""
        run_id, figures = self._known
        if run_id != version.run_id:
            figures = _figures(self._registry.metrics(version))
            self._known = version.run_id, figures
        return figures


def _figures(metrics: Mapping[str, float]) -> dict[str, Figure]:
    """The metrics of `SCORES` that the run has."""
    return {
        name: Figure(value=value, low=metrics.get(f"test_{name}_low"), high=metrics.get(f"test_{name}_high"))
        for name in SCORES
        if (value := metrics.get(f"test_{name}")) is not None
    }


def router(model_cache: ModelCache, served: Callable[[], Awaitable[Served]]) -> APIRouter:
    """The endpoint; `served` returns the served model."""
    routes = APIRouter()
    registry = model_cache.registry
    known = _Figures(registry)

    @routes.get("/model", response_model=ModelDescription, response_model_exclude_unset=True, responses=_ANSWERS)
    async def model(
        card: Annotated[Card | None, Query(description="Answer with the model card in this format instead.")] = None,
    ) -> ModelDescription | Response:
        """The version in production, since when and why it is served, and its test metrics."""
        version = (await served()).version
        if card is None:
            challenger = model_cache.challenger
            return _description(
                version, await run_in_threadpool(known.of, version), challenger.version if challenger else None
            )
        path, media_type = _CARDS[card]
        text = await run_in_threadpool(registry.model_card, version, path)
        if text is None:
            raise Refused(404, f"Version {version.number} has no {path}; the pipeline writes it after a promotion")
        return Response(text, media_type=media_type)

    return routes


def _description(version: Version, figures: dict[str, Figure], challenger: Version | None) -> ModelDescription:
    return ModelDescription(
        name=version.name,
        version=version.number,
        family=version.family,
        data_kind=version.data_kind,
        sites=list(version.sites),
        recalibrated_for=version.recalibrated_for,
        serves_since=version.promoted_at,
        reason=version.decision_reason,
        mlflow_run_id=version.run_id,
        test_metrics=figures,
        model_card={form: f"?card={form}" for form in _CARDS},
        **({"challenger": _challenger(challenger)} if challenger else {}),
    )


def _challenger(version: Version) -> ChallengerDescription:
    return ChallengerDescription(
        version=version.number,
        family=version.family,
        since=version.challenged_at,
        canary_share=version.canary_share,
        mlflow_run_id=version.run_id,
    )
