"""`python -m readmission.serving`: run the API under uvicorn instead of Lambda, or write its OpenAPI document.

API keys are not checked here. On AWS the gateway does it; elsewhere a proxy in front of the server must, or OIDC_ISSUER
names an issuer whose tokens every request then needs.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from readmission.http.authentication import Identify, by_token
from readmission.registry.production import MlflowRegistry
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache
from readmission.settings import ModelSettings, ServerSettings, ServingSettings
from readmission.telemetry import observability

if TYPE_CHECKING:
    from readmission.identity.audit import AuditLog

PORT = 8000


def application() -> FastAPI:
    """The application, configured by the environment: `uvicorn --factory readmission.serving.__main__:application`."""
    settings = ServingSettings.from_environment()
    logger = observability.logger("predict")
    model_cache = ModelCache(MlflowRegistry(settings.model), settings.refresh_seconds, logger)
    model_cache.refresh()

    def correlate(request_id: str) -> None:
        # Requests run concurrently here, unlike on Lambda.
        logger.thread_safe_append_keys(correlation_id=request_id)

    identify, audit = _identity(settings)
    return create_app(
        model_cache,
        cors_origins=settings.cors_origins,
        logger=logger,
        correlate=correlate,
        identify=identify,
        audit=audit,
    )


def _identity(settings: ServingSettings) -> "tuple[Identify | None, AuditLog | None]":
    """How a request tells who sends it, and where reads are recorded; None without an issuer."""
    if settings.identity is None or settings.audit is None:
        return None, None
    # Imported only here: without an issuer, neither PyJWT nor boto3 has to be installed.
    from readmission.identity.audit import open_log
    from readmission.identity.tokens import Tokens

    return by_token(Tokens(settings.identity).actor), open_log(settings.audit)


def openapi() -> str:
    """The OpenAPI document. It does not depend on settings or the registry."""
    registry = MlflowRegistry(ModelSettings("http://127.0.0.1", "readmission"))
    document = create_app(ModelCache(registry, 1, logging.getLogger(__name__))).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises `ConfigurationError` for a missing or invalid setting."""
    parser = argparse.ArgumentParser(prog="python -m readmission.serving", description="Serve the API over HTTP.")
    parser.add_argument("--openapi", type=Path, metavar="FILE", help="write the OpenAPI document to FILE and exit")
    parsed = parser.parse_args(arguments)
    if parsed.openapi:
        parsed.openapi.write_text(openapi(), encoding="utf-8")
        return
    server = ServerSettings.from_environment(default_port=PORT)
    # The application logs each request itself. A second line from uvicorn takes a fifth of a request's processor time.
    uvicorn.run(
        application(), host=server.host, port=server.port, lifespan="off", server_header=False, access_log=False
    )


if __name__ == "__main__":
    main()
