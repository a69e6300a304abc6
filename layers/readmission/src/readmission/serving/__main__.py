"""`python -m readmission.serving`: run the API under uvicorn instead of Lambda, or write its OpenAPI document.

It answers other machines only if it checks API keys or tokens, or if ALLOW_ANONYMOUS=1 says that something in front of
it does.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvicorn

from readmission.registry.production import MlflowRegistry
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache
from readmission.serving.process import application
from readmission.settings import ApiProcessSettings, ApiServerSettings, ModelSettings, ServingSettings

PORT = 8000
# How long the requests in flight may take once no others are accepted. Kubernetes kills after 30 s, draining included.
_LAST_ANSWERS_SECONDS: Final = 20


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
    settings = ApiServerSettings.from_environment(default_port=PORT)
    if settings.workers > 1:
        _serve_by_workers(settings)
    else:
        _serve(settings)


def _serve(settings: ApiServerSettings) -> None:
    app = application()
    if settings.metrics_port:
        from readmission.telemetry import in_process

        in_process.serve(app.state.meter.registry, settings.server.host, settings.metrics_port)
    uvicorn.run(app, **_options(settings))


def _serve_by_workers(settings: ApiServerSettings) -> None:
    """Each worker process makes its own application; this process adds up their metrics."""
    # A wrong setting ends this process, and not one worker after the other.
    ServingSettings.from_environment(), ApiProcessSettings.from_environment()
    with TemporaryDirectory(prefix="readmission-metrics-") as folder:
        if settings.metrics_port:
            # Before anything imports prometheus_client, which looks at it then; the workers inherit it.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            from readmission.telemetry import in_process

            in_process.serve(in_process.of_processes(folder), settings.server.host, settings.metrics_port)
        uvicorn.run(
            "readmission.serving.process:application", factory=True, workers=settings.workers, **_options(settings)
        )


def _options(settings: ApiServerSettings) -> dict[str, Any]:
    return {
        "host": settings.server.host,
        "port": settings.server.port,
        # For the application's own handling of SIGTERM.
        "lifespan": "on",
        "timeout_graceful_shutdown": _LAST_ANSWERS_SECONDS,
        "server_header": False,
        # The application logs each request. A second line from uvicorn takes a fifth of a request's processor time.
        "access_log": False,
    }


if __name__ == "__main__":
    main()
