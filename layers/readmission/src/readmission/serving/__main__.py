"""`python -m readmission.serving`: the API under uvicorn instead of Lambda, or its OpenAPI document as a file.

Nothing here looks at an API key: on Lambda the gateway does, elsewhere whatever stands before it has to.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI

from readmission.registry.production import MlflowRegistry
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache
from readmission.settings import ModelSettings, ServerSettings, ServingSettings
from readmission.telemetry import observability

PORT = 8000


def application() -> FastAPI:
    """The application as the environment sets it up: `uvicorn --factory readmission.serving.__main__:application`."""
    settings = ServingSettings.from_environment()
    structured = observability.logger("predict")
    logger = cast(logging.Logger, structured)  # it has all of one's methods, without being one
    model_cache = ModelCache(MlflowRegistry(settings.model), settings.refresh_seconds, logger)
    model_cache.refresh()

    def correlate(request_id: str) -> None:
        # Requests run beside each other here, and each has its own.
        structured.thread_safe_append_keys(correlation_id=request_id)

    return create_app(model_cache, cors_origins=settings.cors_origins, logger=logger, correlate=correlate)


def openapi() -> str:
    """The OpenAPI document; it depends on no setting, and no registry is asked for it."""
    registry = MlflowRegistry(ModelSettings("http://127.0.0.1", "readmission"))
    document = create_app(ModelCache(registry, 1, logging.getLogger(__name__))).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises ConfigurationError for a setting that is missing or wrong."""
    parser = argparse.ArgumentParser(prog="python -m readmission.serving", description="Serve the API over HTTP.")
    parser.add_argument("--openapi", type=Path, metavar="FILE", help="write the OpenAPI document there, and end")
    parsed = parser.parse_args(arguments)
    if parsed.openapi:
        parsed.openapi.write_text(openapi(), encoding="utf-8")
        return
    server = ServerSettings.from_environment(default_port=PORT)
    uvicorn.run(application(), host=server.host, port=server.port, lifespan="off", server_header=False)


if __name__ == "__main__":
    main()
