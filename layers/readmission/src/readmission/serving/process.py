"""The API as a process of its own: what Lambda and its gateway do elsewhere, it does itself.

It checks API keys or tokens if its settings name some, keeps its metrics for Prometheus, answers a liveness probe, and
drains before it stops. Throttling is left to what is in front of it.
"""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from readmission.http.authentication import Identify, by_key, by_token
from readmission.http.lifecycle import Lifecycle
from readmission.http.middleware import Measured
from readmission.registry.production import MlflowRegistry
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache
from readmission.settings import ApiKeySettings, ApiProcessSettings, ServingSettings
from readmission.telemetry import observability
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import BY_NAME, REQUESTS, Meter, NullMeter, listed_values

if TYPE_CHECKING:
    from readmission.identity.audit import AuditLog
    from readmission.identity.issuers import Issuers

_SERVICE = "predict"  # as on Lambda, so that the metrics are the same


def application() -> FastAPI:
    """The application, configured by the environment. `app.state.meter` has its metrics.

    Raises `ConfigurationError` for a missing or invalid setting, `IdentityUnavailable` and `AuditUnavailable` if a
    secret cannot be read.
    """
    settings, process = ServingSettings.from_environment(), ApiProcessSettings.from_environment()
    logger = observability.logger(_SERVICE)
    meter = _meter(process)
    model_cache = ModelCache(
        MlflowRegistry(settings.model),
        settings.refresh_seconds,
        logger,
        meter=meter,
        challenger_seconds=settings.challenger_seconds,
    )
    model_cache.begin()

    def correlate(request_id: str) -> None:
        # Requests run concurrently here, unlike on Lambda.
        logger.thread_safe_append_keys(correlation_id=request_id)

    issuers, audit = _issuers(settings, process)
    app = create_app(
        model_cache,
        cors_origins=settings.cors_origins,
        logger=logger,
        meter=meter,
        correlate=correlate,
        identify=_identify(process.api_keys, issuers, logger),
        audit=audit,
    )
    app.state.ehr = settings.ehr
    if settings.history:
        # Imported only here: without histories, neither pg8000 nor boto3 has to be installed.
        from readmission.serving.earlier_stays import open_histories

        app.state.histories = open_histories(settings.history, logger, meter)
    if settings.prediction_log:
        # Imported only here: without a log, boto3 does not have to be installed.
        from readmission.serving.prediction_queue import open_log as open_prediction_log

        app.state.prediction_log = open_prediction_log(settings.prediction_log, logger, meter)
    if process.measures:
        routes = listed_values(BY_NAME[REQUESTS], "route", _SERVICE)
        app.add_middleware(Measured, meter=meter, routes=routes)

    def drain() -> None:
        app.state.draining = True

    # Outermost: probes are neither logged nor counted.
    app.add_middleware(Lifecycle, drain_seconds=process.drain_seconds, draining=drain)
    return app


def _meter(process: ApiProcessSettings) -> Meter:
    if not process.measures:
        return NullMeter()
    # Imported only here: prometheus_client takes a tenth of the start.
    from readmission.telemetry.in_process import PrometheusMeter

    return PrometheusMeter(_SERVICE)


def _issuers(settings: ServingSettings, process: ApiProcessSettings) -> "tuple[Issuers | None, AuditLog | None]":
    """Whose tokens tell who sends a request, and where reads are recorded; None without an issuer."""
    if settings.audit is None:
        return None, None
    # Imported only here: without an issuer, neither PyJWT nor boto3 has to be installed.
    from readmission.identity.audit import open_log
    from readmission.identity.issuers import Issuers

    return Issuers.of(settings.identity, process.ehr_trust), open_log(settings.audit)


def _identify(settings: ApiKeySettings | None, issuers: "Issuers | None", logger: Logger) -> Identify | None:
    """How it is found out who sends a request: by key, by token, or not at all."""
    tokens = by_token(issuers.actor) if issuers else None
    if settings is None:
        return tokens
    from readmission.identity.api_keys import open_keys

    keys = open_keys(settings, logger)
    return by_key(keys, tokens, issuers.decides) if issuers else by_key(keys)
