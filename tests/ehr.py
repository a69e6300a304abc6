"""An EHR on loopback: a real server of its key set, and the tokens of CDS Hooks that it signs."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


@dataclass
class Ehr:
    """`answers` counts the requests for its key set. `status` is what the server answers."""

    url: str = ""
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    answers: int = 0
    status: int = 200

    @property
    def keys_url(self) -> str:
        return f"{self.url}/jwks.json"

    def rotate(self, kid: str) -> None:
        """From now on, it signs with this key alone."""
        self.keys = {kid: ec.generate_private_key(ec.SECP384R1())}

    def key_set(self) -> dict[str, Any]:
        public = {kid: ECAlgorithm.to_jwk(key.public_key(), as_dict=True) for kid, key in self.keys.items()}
        return {"keys": [jwk | {"kid": kid} for kid, jwk in public.items()]}

    def token(self, audience: str | list[str], **changes: Any) -> str:
        """A token for this endpoint, as the specification's example: ES384, and the address of the key set."""
        ((kid, key),) = self.keys.items()
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **changes}
        return jwt.encode(claims, key, "ES384", headers={"kid": kid, "jku": self.keys_url})


@contextmanager
def ehr() -> Iterator[Ehr]:
    """A running EHR."""
    started = Ehr()
    started.rotate("first")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            started.answers += 1
            body = json.dumps(started.key_set()).encode() if self.path == "/jwks.json" else b""
            self.send_response(started.status if body else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing, so that the output is the tests'."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    started.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield started
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
