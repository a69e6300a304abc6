"""The FastAPI application. `functions/predict` puts it behind API Gateway."""

from typing import Any, Final

from fastapi import FastAPI, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import APIKeyHeader

from readmission.errors import ExplanationUnavailable, ModelUnavailable
from readmission.features import inputs_of
from readmission.serving import description
from readmission.serving.explanation import explain as explained
from readmission.serving.limits import BodyLimit
from readmission.serving.production import Production, Served
from readmission.serving.schemas import Encounter, Health, Prediction, Problem, Reload

MAX_BODY_BYTES: Final = 64 * 1024
MAX_PROBLEMS: Final = 50

# API Gateway checks the key before a request gets here; this is for the OpenAPI document and the "Authorize" button.
_KEY: Final = Security(APIKeyHeader(name="x-api-key", auto_error=False))
_UNAVAILABLE: Final[dict[int | str, dict[str, Any]]] = {503: {"model": Problem, "description": "No model, and why."}}


def create_app(production: Production) -> FastAPI:
    """The application that serves `production`."""
    app = FastAPI(
        title="Readmission forecast",
        summary="Whether a diabetic patient will be readmitted: within 30 days, later, or not at all.",
        version="1",
        # Relative, so that they are right behind whatever path a gateway puts before them.
        servers=[{"url": "."}],
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ModelUnavailable, _unavailable)
    app.add_exception_handler(ExplanationUnavailable, _unexplained)

    async def served() -> Served:
        if production.due:
            await run_in_threadpool(production.follow)
        return production.current()

    @app.post(
        "/predict",
        responses={**_UNAVAILABLE, 409: {"model": Problem}, 413: {"model": Problem}},
        response_model_exclude_none=True,
        dependencies=[_KEY],
    )
    async def predict(encounter: Encounter, explain: bool = False) -> Prediction:
        """Forecast the readmission of one encounter; with `explain=true`, also what each field adds to the risk."""
        model = await served()
        prediction = _predict(model, encounter)
        if explain:
            prediction.explanation = explained(model.scorer, encounter.model_dump(exclude_none=True))
        return prediction

    app.include_router(description.router(production.registry, served), responses=_UNAVAILABLE, dependencies=[_KEY])

    @app.get("/health", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def health() -> Health:
        """Whether a prediction could be had now, and from which version."""
        return Health(status="ok", model_version=(await served()).version.number)

    @app.post("/reload-model", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def reload_model() -> Reload:
        """Look at the registry now. Not needed after a promotion: that is followed within seconds anyway."""
        before = production.served
        if problem := await run_in_threadpool(production.refresh):
            raise ModelUnavailable(problem)
        return Reload(
            model_version=production.current().version.number,
            previous_version=before.version.number if before else None,
        )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="openapi.json", title=app.title)

    return app


def _predict(served: Served, encounter: Any) -> Prediction:
    scorer = served.scorer
    inputs = inputs_of(encounter.model_dump(exclude_none=True))
    shares = scorer.probabilities([inputs[name] for name in scorer.features])
    probabilities = dict(zip(scorer.classes, shares, strict=True))
    return Prediction(
        readmitted=max(probabilities, key=lambda name: probabilities[name]),
        probabilities=probabilities,
        model_name=served.version.name,
        model_version=served.version.number,
        data_kind=served.version.data_kind,
    )


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """422 with the fields' names and what is wrong. The values are left out: they are a patient's."""
    assert isinstance(error, RequestValidationError)
    problems = [{"loc": e["loc"], "msg": e["msg"], "type": e["type"]} for e in error.errors()[:MAX_PROBLEMS]]
    return JSONResponse({"detail": problems}, 422)


def _unexplained(request: Request, error: Exception) -> JSONResponse:
    """409: asking again does not help as long as this model serves."""
    return JSONResponse({"detail": str(error)}, 409)


def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
