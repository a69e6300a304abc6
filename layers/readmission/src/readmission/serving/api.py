"""The FastAPI application. `functions/predict` puts it behind API Gateway."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from fastapi.security import APIKeyHeader
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from readmission.errors import ExplanationUnavailable, ModelUnavailable, ScorerInvalid
from readmission.http import request_id
from readmission.serving import batch, bodies, description, docs, openapi, problems
from readmission.serving.encounters import fields_of_encounter
from readmission.serving.explanation import explain as explained
from readmission.serving.forecasts import answered_by, forecast
from readmission.serving.limits import BodyLimit
from readmission.serving.middleware import AccessLog, Envelope, Unexpected
from readmission.serving.model_cache import ModelCache, Served
from readmission.serving.schemas import BatchPrediction, Health, Prediction, Reload
from readmission.telemetry.metrics import PREDICTIONS, SCORER_DURATION, VALIDATION_ERRORS, Meter, NullMeter

MAX_BODY_BYTES: Final = 64 * 1024
# 3 KiB an encounter, which is one with all its fields and wide indentation. Lambda takes 6 MB, with the body as text
# in JSON, where every quotation mark is two bytes.
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024
_BATCH: Final = "/predict/batch"

# API Gateway checks the key before a request gets here; this is for the OpenAPI document and the "Authorize" button.
_KEY: Final = Security(APIKeyHeader(name="x-api-key", auto_error=False))
_UNAVAILABLE: Final = openapi.refusals(_503="No model, and why.")
_UNEXPLAINED: Final = openapi.refusals(_409="The model that serves cannot be explained, and why.")
_UNREADABLE: Final = openapi.refusals(
    _413="The body is too large.",
    _415="The body is of another type.",
    _422="The body cannot be used: which fields, and why. Values are not repeated.",
)

type _Explain = Annotated[bool, Query(description="Tell what each field adds to the risk, too.")]


def create_app(
    model_cache: ModelCache,
    *,
    cors_origins: Sequence[str] = (),
    logger: logging.Logger | None = None,
    meter: Meter | None = None,
    correlate: Callable[[str], None] = lambda request_id: None,
) -> FastAPI:
    """The application that serves the models of `model_cache`.

    Pages of `cors_origins` may ask it. `meter` is told what was forecast and what was refused, `correlate` each
    request's id before anything is logged of it.
    """
    app = FastAPI(
        title="Readmission forecast",
        summary="Whether a diabetic patient will be readmitted: within 30 days, later, or not at all.",
        version="1",
        # Relative, so that they are right behind whatever path a gateway puts before them.
        servers=[{"url": "."}],
        docs_url=None,
        redoc_url=None,
        # It would lead to a path without the gateway's stage.
        redirect_slashes=False,
    )
    # The one that is added last is outermost.
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, paths={_BATCH: MAX_BATCH_BYTES})
    logger = logger or logging.getLogger(__name__)
    app.add_middleware(Unexpected, logger=logger)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "x-api-key", request_id.HEADER],
            expose_headers=[request_id.HEADER],
        )
    app.add_middleware(AccessLog, logger=logger, model_cache=model_cache)
    app.add_middleware(Envelope, correlate=correlate)
    for kind in (
        problems.Refused,
        ExplanationUnavailable,
        ModelUnavailable,
        ScorerInvalid,
        HTTPException,
        RequestValidationError,
    ):
        app.add_exception_handler(kind, _problem)
    app.state.meter = meter or NullMeter()
    _add_routes(app, model_cache, app.state.meter)
    openapi.describe(app)
    return app


def _add_routes(app: FastAPI, model_cache: ModelCache, meter: Meter) -> None:
    async def served() -> Served:
        if model_cache.due:
            await run_in_threadpool(model_cache.follow)
        return model_cache.current()

    # The bodies are read here and the answers written here, since both cost FastAPI more than the forecast itself.
    @app.post(
        "/predict",
        response_model=Prediction,
        responses=_UNREADABLE | _UNAVAILABLE | _UNEXPLAINED,
        openapi_extra=openapi.ENCOUNTER,
        dependencies=[_KEY],
    )
    async def predict(request: Request, explain: _Explain = False) -> Response:
        """Forecast the readmission of one encounter, given by its 14 fields or as a row of the UCI file."""
        bodies.media_type(request, bodies.JSON)
        fields = fields_of_encounter(bodies.json_of(await bodies.text_of(request)))
        now = await served()
        begun = perf_counter()
        answer = forecast(now, fields)
        meter.observe(SCORER_DURATION, perf_counter() - begun)
        meter.count(PREDICTIONS, model_version=now.version.number, readmitted=answer["readmitted"])
        answer |= answered_by(now, _id_of(request))
        if explain:
            answer["explanation"] = explained(now.scorer, fields)
        return _json(answer)

    @app.post(
        _BATCH,
        response_model=BatchPrediction,
        responses=openapi.BATCH_ANSWER | _UNREADABLE | _UNAVAILABLE,
        openapi_extra=openapi.BATCH,
        dependencies=[_KEY],
    )
    async def predict_batch(request: Request) -> Response:
        """Forecast up to 1,000 encounters, as JSON or CSV: each is answered for itself, in order."""
        kind = bodies.media_type(request, bodies.JSON, bodies.CSV)
        text = await bodies.text_of(request)
        encounters = batch.rows_of_csv(text) if kind == bodies.CSV else batch.rows_of_json(bodies.json_of(text))
        now = await served()
        answers = batch.predict(now, encounters)
        _measure(meter, now, answers)
        if batch.answer_type(request.headers.get("accept", ""), kind) == bodies.CSV:
            return Response(batch.as_csv(answers), media_type=bodies.CSV)
        return Response(batch.as_json(now, _id_of(request), answers), media_type=bodies.JSON)

    routes = description.router(model_cache.registry, served)
    app.include_router(routes, responses=_UNAVAILABLE, dependencies=[_KEY])

    @app.get("/health", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def health() -> Health:
        """Whether a prediction could be had now, and from which version."""
        return Health(status="ok", model_version=(await served()).version.number)

    @app.post("/reload-model", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def reload_model() -> Reload:
        """Look at the registry now. Not needed after a promotion: that is followed within seconds anyway."""
        before = model_cache.served
        if problem := await run_in_threadpool(model_cache.refresh):
            raise ModelUnavailable(problem)
        return Reload(
            model_version=model_cache.current().version.number,
            previous_version=before.version.number if before else None,
        )

    page = docs.page(app.title)

    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return page


def _json(document: dict[str, Any]) -> Response:
    return Response(to_json(document), media_type=bodies.JSON)


def _id_of(request: Request) -> str:
    found: str = request.scope[problems.REQUEST_ID]
    return found


def _measure(meter: Meter, served: Served, answers: list[dict[str, Any]]) -> None:
    """Count a batch's forecasts by class, and its rows that have none."""
    found = Counter(answer["prediction"]["readmitted"] for answer in answers if "prediction" in answer)
    if refused := len(answers) - found.total():
        meter.count(VALIDATION_ERRORS, refused, route=_BATCH)
    for readmitted, number in found.items():
        meter.count(PREDICTIONS, number, model_version=served.version.number, readmitted=readmitted)


async def _problem(request: Request, error: Exception) -> Response:
    """The problem document of what a request may fail with."""
    if isinstance(error, problems.Refused):
        if error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            request.app.state.meter.count(VALIDATION_ERRORS, route=request.scope["path"])
        return problems.response(request.scope, error.status, error.detail, error.errors)
    if isinstance(error, RequestValidationError):
        errors = [problems.FieldError(str(one["loc"][-1]), one["msg"], "invalid_parameter") for one in error.errors()]
        return problems.response(request.scope, 422, "the request cannot be used", errors)
    if isinstance(error, HTTPException):
        detail = {404: "there is nothing at this path", 405: "this path does not take that method"}
        # Ours say why; those of the framework only repeat the status.
        phrase = HTTPStatus(error.status_code).phrase
        text = error.detail if error.detail != phrase else detail.get(error.status_code, phrase)
        return problems.response(request.scope, error.status_code, text, headers=error.headers)
    return problems.response(request.scope, 409 if isinstance(error, ExplanationUnavailable) else 503, str(error))
