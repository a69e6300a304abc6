"""The FastAPI application. `functions/predict` puts it behind API Gateway."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from fastapi.security import APIKeyHeader
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from readmission.errors import (
    AuditUnavailable,
    ExplanationUnavailable,
    ModelUnavailable,
    PredictionNotLogged,
    ScorerInvalid,
)
from readmission.http import bodies, request_id
from readmission.http.asgi import REQUEST_ID, problem_response
from readmission.http.authentication import Authentication, Identify
from readmission.http.body_limit import BodyLimit
from readmission.http.middleware import AccessLog, Direct, Endpoint, Envelope, HeadRequests, UnexpectedErrors
from readmission.http.problems import FieldError, Refused, sentence
from readmission.identity.actor import is_open
from readmission.serving import batch, description, docs, ehr, feedback, openapi, openapi_ehr
from readmission.serving.answering import Answering, ServedModel
from readmission.serving.challenger import Trial
from readmission.serving.encounters import Asked, encounter_of
from readmission.serving.model_cache import ModelCache, Served
from readmission.serving.prediction_log import Answered
from readmission.serving.reads import Reads
from readmission.serving.schemas import BatchPrediction, Health, Prediction, Reload
from readmission.settings import EhrSettings
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import PREDICTIONS, VALIDATION_ERRORS, Meter, NullMeter

if TYPE_CHECKING:
    from readmission.identity.audit import AuditLog

MAX_BODY_BYTES: Final = 64 * 1024
_PREDICT: Final = "/predict"
_BATCH: Final = "/predict/batch"

# API Gateway has already checked the key. This is for the OpenAPI document and the "Authorize" button.
_KEY: Final = Security(APIKeyHeader(name="x-api-key", auto_error=False))
_UNAVAILABLE: Final = openapi.refusals(_503="No model is available; `detail` says why.")
_UNEXPLAINED: Final = openapi.refusals(_409="The served model cannot be explained; `detail` says why.")

# Which `_problem` answers.
_PROBLEMS: Final = (
    Refused,
    ExplanationUnavailable,
    AuditUnavailable,
    ModelUnavailable,
    PredictionNotLogged,
    ScorerInvalid,
    HTTPException,
    RequestValidationError,
)

type _Explain = Annotated[bool, Query(description="Also explain the forecast: what each field adds to the risk.")]


def create_app(
    model_cache: ModelCache,
    *,
    cors_origins: Sequence[str] = (),
    logger: Logger | None = None,
    meter: Meter | None = None,
    correlate: Callable[[str], None] = lambda request_id: None,
    identify: Identify | None = None,
    audit: "AuditLog | None" = None,
) -> FastAPI:
    """The application that serves the models of `model_cache`.

    CORS allows web pages of `cors_origins`. `correlate` receives the id of each request before anything is logged.
    With `identify`, only those whom it knows and whose scopes suffice are answered, and `audit` records who read what.
    `app.state.ehr` says how an EHR's resources are read, and where its cards lead. With `PatientHistories` in
    `app.state.histories`, the history of a patient whom a request names is looked up. With a `PredictionLog` in
    `app.state.prediction_log`, it gets every forecast that is answered.
    """
    app = FastAPI(
        title="Readmission forecast",
        summary="Forecasts whether a diabetic patient will be readmitted: within 30 days, later, or not at all.",
        version="1",
        # Relative, so that it is right under any path prefix of a gateway.
        servers=[{"url": "."}],
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        # A redirect would omit the gateway's stage from the path.
        redirect_slashes=False,
    )
    app.state.meter = meter or NullMeter()
    app.state.draining = False
    app.state.histories = None
    app.state.prediction_log = None
    app.state.ehr = EhrSettings()

    def model_version() -> str | None:
        return model_cache.served.version.number if model_cache.served else None

    logger = logger or logging.getLogger(__name__)
    direct: dict[str, Endpoint] = {}
    # The middleware added last is outermost.
    app.add_middleware(Direct, endpoints=direct, errors=_PROBLEMS, on_error=_problem)
    app.add_middleware(HeadRequests)
    large = dict.fromkeys((_BATCH, ehr.FHIR, ehr.SERVICE), bodies.MAX_BATCH_BYTES)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, paths=large)
    if identify:
        app.add_middleware(Authentication, identify=identify, is_open=is_open)
    app.add_middleware(UnexpectedErrors, logger=logger)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "x-api-key", request_id.HEADER],
            expose_headers=[request_id.HEADER],
        )
    app.add_middleware(AccessLog, logger=logger, model_version=model_version)
    app.add_middleware(Envelope, correlate=correlate)
    for kind in _PROBLEMS:
        app.add_exception_handler(kind, _problem)

    async def served() -> Served:
        if model_cache.due:
            await run_in_threadpool(model_cache.follow)
        return model_cache.current()

    trial = Trial(model_cache, logger, app.state.meter)
    answering = Answering(app, served, trial, Reads(audit))
    direct |= _add_prediction_routes(app, answering)
    app.include_router(ehr.router(answering), responses=_UNAVAILABLE, dependencies=[_KEY])
    app.include_router(feedback.router(answering), dependencies=[_KEY])
    routes = description.router(model_cache, served)
    app.include_router(routes, responses=_UNAVAILABLE, dependencies=[_KEY])
    _add_operation_routes(app, served, model_cache)
    openapi.describe(app, {"FhirResource": openapi_ehr.RESOURCE})
    return app


def _add_prediction_routes(app: FastAPI, answering: Answering) -> dict[str, Endpoint]:
    """The endpoints by their paths."""
    meter: Meter = app.state.meter
    served, trial, reads = answering.served, answering.trial, answering.reads

    # These routes parse bodies and serialize answers themselves: FastAPI takes longer for both than the forecast takes.
    @app.post(
        _PREDICT,
        response_model=Prediction,
        responses=openapi.UNREADABLE | _UNAVAILABLE | _UNEXPLAINED,
        openapi_extra=openapi.ENCOUNTER,
        dependencies=[_KEY],
    )
    async def predict(request: Request, explain: _Explain = False) -> Response:
        """Forecast the readmission of one encounter, sent as 14 prepared fields or as a row of the UCI file."""
        bodies.media_type(request, bodies.JSON)
        document = bodies.json_of(await bodies.text_of(request))
        answer = await answering.answer(request, encounter_of(document), document, explains=explain)
        return Response(to_json(answer), media_type=bodies.JSON)

    @app.post(
        _BATCH,
        response_model=BatchPrediction,
        responses=openapi.BATCH_ANSWER | openapi.UNREADABLE | _UNAVAILABLE,
        openapi_extra=openapi.BATCH,
        dependencies=[_KEY],
    )
    async def predict_batch(request: Request) -> Response:
        """Forecast up to 1,000 encounters, sent as JSON or CSV.

        Each encounter has its own answer, in the order of the request: an invalid one does not affect the others.
        """
        kind = bodies.media_type(request, bodies.JSON, bodies.CSV)
        encounters: Sequence[Any]
        if kind == bodies.CSV:
            encounters = batch.rows_of_csv(await bodies.csv_of(request))
        else:
            encounters = batch.rows_of_json(bodies.json_of(await bodies.text_of(request)))
        model = await served()
        asked = batch.read(encounters)
        if known := answering.histories:
            await known.fill_in([one for one in asked if isinstance(one, Asked)], model.version.data_kind)
        answers, answered = batch.predict(model, asked, trial.answers)
        _count_rows(meter, answers, answered)
        for version, positions in _by_version(answered):
            read: list[Any] = [encounters[each] for each in positions]
            await reads.record(request, version, read, "batch of forecasts")
        if answered and answering.log:
            await answering.log.record(_id_of(request), _BATCH, answered)
        if bodies.answer_type(request.headers.get("accept", ""), kind) == bodies.CSV:
            return Response(batch.as_csv(answers, with_history=known is not None), media_type=bodies.CSV)
        return Response(batch.as_json(model, _id_of(request), answers), media_type=bodies.JSON)

    return {_PREDICT: predict, _BATCH: predict_batch}


def _add_operation_routes(app: FastAPI, served: ServedModel, model_cache: ModelCache) -> None:
    @app.get("/health", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def health(request: Request) -> Health:
        """Whether predictions are available, and from which model version."""
        if request.app.state.draining:
            raise ModelUnavailable("the server is shutting down; send requests to another one")
        return Health(status="ok", model_version=(await served()).version.number)

    @app.post("/reload-model", responses=_UNAVAILABLE, dependencies=[_KEY])
    async def reload_model() -> Reload:
        """Poll the model registry now. Not needed after a promotion, which is picked up within seconds."""
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

    @app.get("/docs/{name}", include_in_schema=False)
    def docs_file(name: str) -> Response:
        return docs.file(name)


def _id_of(request: Request) -> str:
    found: str = request.scope[REQUEST_ID]
    return found


def _by_version(answered: Sequence[Answered]) -> Iterable[tuple[Served, list[int]]]:
    """The versions that answered a batch, two at most, each with the positions of its rows."""
    found: dict[str, tuple[Served, list[int]]] = {}
    for one in answered:
        found.setdefault(one.served.version.number, (one.served, []))[1].append(one.position)
    return found.values()


def _count_rows(meter: Meter, answers: list[dict[str, Any]], answered: list[Answered]) -> None:
    """Count the forecasts of a batch by version and class, and its invalid rows."""
    if refused := len(answers) - len(answered):
        meter.count(VALIDATION_ERRORS, refused, route=_BATCH)
    found = Counter((one.served.version.number, answers[one.position]["prediction"]["readmitted"]) for one in answered)
    for (version, readmitted), number in found.items():
        meter.count(PREDICTIONS, number, model_version=version, readmitted=readmitted)


async def _problem(request: Request, error: Exception) -> Response:
    """The problem document for an exception of a route."""
    scope = request.scope
    match error:
        case Refused():
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                request.app.state.meter.count(VALIDATION_ERRORS, route=scope["path"])
            return problem_response(scope, error.status, error.detail, error.errors, error.headers)
        case RequestValidationError():
            errors = [FieldError(str(one["loc"][-1]), one["msg"], "invalid_parameter") for one in error.errors()]
            return problem_response(scope, HTTPStatus.UNPROCESSABLE_ENTITY, "A query parameter is invalid", errors)
        case HTTPException():
            return problem_response(scope, error.status_code, _detail(error), headers=_with_head(error.headers))
        case ExplanationUnavailable():
            return problem_response(scope, HTTPStatus.CONFLICT, sentence(str(error)))
        case _:
            return problem_response(scope, HTTPStatus.SERVICE_UNAVAILABLE, sentence(str(error)))


def _with_head(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """The headers; if `Allow` lists GET, then also HEAD, which `HeadRequests` answers."""
    if headers and "GET" in headers.get("Allow", ""):
        return {**headers, "Allow": f"{headers['Allow']}, HEAD"}
    return headers


def _detail(error: HTTPException) -> str:
    # Details of our own explain the problem; the framework's only repeat the title of the status.
    title = HTTPStatus(error.status_code).phrase
    if error.detail != title:
        return error.detail
    ours = {404: "There is no resource at this path", 405: "This path does not support this method"}
    return ours.get(error.status_code, title)
