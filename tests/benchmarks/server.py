"""A server on 127.0.0.1 that answers the MLflow requests of the API, and serves a data archive."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from readmission.settings import SourceSettings

# With which a source on this server may be read.
SETTINGS = SourceSettings(allow_http=True, allow_private=True)


@contextmanager
def serve(pages: dict[str, bytes]) -> Iterator[str]:
    """Serves `pages` (path without query → content), which may still change; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path.partition("?")[0])
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def registry(scorer: bytes, scorer_sha256: str, data_kind: str) -> dict[str, bytes]:
    """The pages of a registry with version 1 in Production."""
    tags = {"family": "gradient_boosting", "data_kind": data_kind, "scorer_sha256": scorer_sha256}
    version = {
        "name": "readmission",
        "version": "1",
        "run_id": "run",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    return {
        "/api/2.0/mlflow/registered-models/alias": json.dumps({"model_version": version}).encode(),
        "/get-artifact": scorer,
    }
