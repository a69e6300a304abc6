"""A cold start as on the emulator: the runtime's interpreter and program, from process start to first answer."""

import json
import os
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

ROOT = Path(__file__).parents[2]
_RUNTIME = ROOT / "infra/localstack/.runtimes/python3.13/bin/python"
_BOOTSTRAP = ROOT / "infra/localstack/src/localstack_plugin/executor/bootstrap.py"
_LAYER = ROOT / ".aws-sam/build/ServingLayer/python"  # built by `make deploy`
DOMAIN = ROOT / "layers/readmission/src"
_PACKAGES = Path(sysconfig.get_path("purelib"))
_CODE = {
    "ours": ("app.handler", [ROOT / "functions/predict", DOMAIN, _LAYER if _LAYER.is_dir() else _PACKAGES]),
    "peer": ("tests/benchmarks/peer.handler", [ROOT, DOMAIN, _PACKAGES]),
}
_TIMEOUT_SECONDS = 60


def where() -> str:
    """The import path of our packages."""
    return "the built layer" if _LAYER.is_dir() else "the development environment"


def start(kind: str, environment: Mapping[str, str], event: dict[str, Any]) -> float:
    """Seconds from the start of a new process to its first answer."""
    if not _RUNTIME.exists():
        raise SystemExit("the emulator's Lambda runtime is not installed: make setup")
    handler, paths = _CODE[kind]
    answers: Queue[tuple[float, dict[str, Any]]] = Queue()
    server, closing = _runtime_api(event, answers)
    # Our own environment is left out, as on the emulator: with its proxy variables the runtime would call a proxy.
    reserved = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_WAIT_POLICY") if name in os.environ}
    variables = {**reserved, **environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        command: list[str | Path] = [_RUNTIME, "-s", "-P", "-B", _BOOTSTRAP, handler, *paths]
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        try:
            ended, answer = answers.get(timeout=_TIMEOUT_SECONDS)
        except Empty:
            answer = {}
        finally:
            process.kill()
            process.wait()
            closing.set()
            server.shutdown()
            server.server_close()
        if answer.get("statusCode") != 200:
            log.seek(0)
            raise SystemExit(f"{kind} answered {answer}:\n{log.read().decode()}")
    return ended - began


def _runtime_api(
    event: dict[str, Any], answers: Queue[tuple[float, dict[str, Any]]]
) -> tuple[ThreadingHTTPServer, Event]:
    """A Runtime API that serves one event; later polls wait until the returned event is set."""
    events = [event]
    closing = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not events:
                closing.wait()
                return
            self.send_response(200)
            content = json.dumps(events.pop()).encode()
            self.send_header("Lambda-Runtime-Aws-Request-Id", "8f507cfc-9c5b-4f0e-8e0a-3f1d7c1f6a52")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + _TIMEOUT_SECONDS) * 1000)))
            self.send_header(
                "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:000000000000:function:predict"
            )
            self.send_header("Content-Type", "application/json")  # without it the client crashes
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            ended = time.perf_counter()
            answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers.put((ended, answer))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return server, closing
