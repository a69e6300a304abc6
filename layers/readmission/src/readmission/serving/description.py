"""`GET /model`: which version serves, since when and why, and how good it was on its test rows."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from readmission.registry.production import Version
from readmission.serving.model_cache import Registry, Served
from readmission.serving.openapi import refusals
from readmission.telemetry.metrics import SCORES

_CARDS: Final[Mapping[str, tuple[str, str]]] = {
    "markdown": ("model_card.md", "text/markdown"),
    "html": ("model_card.html", "text/html"),
}

_TEXTS: Final = {media_type: {"schema": {"type": "string"}} for _, media_type in _CARDS.values()}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The version in Production, or its model card.", "content": _TEXTS},
    **refusals(_404="No model card yet.", _422="No such form."),
}

type Card = Literal["markdown", "html"]


class Figure(BaseModel):
    """A metric of the test rows, with the ends of its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


class ModelDescription(BaseModel):
    """The version in Production."""

    name: Annotated[str, Field(examples=["readmission"])]
    version: Annotated[str, Field(examples=["3"])]
    family: Annotated[str, Field(examples=["gradient_boosting"])]
    data_kind: Annotated[str, Field(description="What it learned from: real or synthetic.", examples=["real"])]
    serves_since: Annotated[
        str | None,
        Field(
            description="When it was last promoted, or rolled back to; null when an earlier release did that.",
            examples=["2026-01-01T12:00:00+00:00"],
        ),
    ]
    reason: Annotated[str | None, Field(description="Why it was.", examples=["version 3 is the first"])]
    mlflow_run_id: Annotated[str, Field(description="The training run.", examples=["0d1e…"])]
    test_metrics: Annotated[
        dict[str, Figure],
        Field(description="By name.", examples=[{"auc_early": {"value": 0.67, "low": 0.65, "high": 0.69}}]),
    ]
    model_card: Annotated[
        dict[str, str],
        Field(description="Where the model card is, by form.", examples=[{"markdown": "?card=markdown"}]),
    ]


class _Figures:
    """The test metrics of the version that was asked for last: a finished run's do not change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: tuple[str, dict[str, Figure]] = "", {}

    def of(self, version: Version) -> dict[str, Figure]:
        """Raises `ModelUnavailable` when MLflow does not answer."""
        run_id, figures = self._known
        if run_id != version.run_id:
            figures = _figures(self._registry.metrics(version))
            self._known = version.run_id, figures
        return figures


def _figures(metrics: Mapping[str, float]) -> dict[str, Figure]:
    """Those of `SCORES` that the run has."""
    return {
        name: Figure(value=value, low=metrics.get(f"test_{name}_low"), high=metrics.get(f"test_{name}_high"))
        for name in SCORES
        if (value := metrics.get(f"test_{name}")) is not None
    }


def router(registry: Registry, served: Callable[[], Awaitable[Served]]) -> APIRouter:
    """The endpoint, of the model that `served` answers."""
    routes = APIRouter()
    known = _Figures(registry)

    @routes.get("/model", response_model=ModelDescription, responses=_ANSWERS)
    async def model(
        card: Annotated[Card | None, Query(description="Answer the model card in this form instead.")] = None,
    ) -> ModelDescription | Response:
        """Which version serves, since when and why, and how good it was on its test rows."""
        version = (await served()).version
        if card is None:
            return _description(version, await run_in_threadpool(known.of, version))
        path, media_type = _CARDS[card]
        text = await run_in_threadpool(registry.model_card, version, path)
        if text is None:
            raise HTTPException(
                404, f"version {version.number} has no {path}: the pipeline writes it behind a promotion"
            )
        return Response(text, media_type=media_type)

    return routes


def _description(version: Version, figures: dict[str, Figure]) -> ModelDescription:
    return ModelDescription(
        name=version.name,
        version=version.number,
        family=version.family,
        data_kind=version.data_kind,
        serves_since=version.promoted_at,
        reason=version.decision_reason,
        mlflow_run_id=version.run_id,
        test_metrics=figures,
        model_card={form: f"?card={form}" for form in _CARDS},
    )
