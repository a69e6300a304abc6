"""A real OpenID Connect issuer on loopback: the server of `oidc-provider-mock`, in a process of its own."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.leash import die_with_parent

_PROGRAM = """
import datetime, sys
from oidc_provider_mock import run_server_in_thread
with run_server_in_thread(access_token_max_age=datetime.timedelta(seconds=int(sys.argv[1]))) as server:
    print(server.server_port, flush=True)
    sys.stdin.read()
"""
_REDIRECT = "https://client.example/callback"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """The code is in the address to which the browser would be sent."""


@dataclass(frozen=True)
class Issuer:
    url: str
    process: subprocess.Popen[str]

    def person(self, subject: str, **claims: object) -> None:
        """Somebody who can log in, with these claims."""
        self._ask("PUT", f"/users/{subject}", json.dumps(claims).encode(), "application/json")

    def token(self, subject: str, audience: str, **claims: object) -> str:
        """The token that a person gets who logs in with the client `audience`: a JWT that the server signed."""
        self.person(subject, **claims)
        query = urllib.parse.urlencode(
            {"client_id": audience, "redirect_uri": _REDIRECT, "response_type": "code", "scope": "openid profile"}
        )
        found = self._ask("POST", f"/oauth2/authorize?{query}", urllib.parse.urlencode({"sub": subject}).encode())
        code = re.search(r"[?&]code=([^&]+)", found)
        assert code, found
        form = {
            "grant_type": "authorization_code",
            "code": code[1],
            "redirect_uri": _REDIRECT,
            "client_id": audience,
            "client_secret": "any",
        }
        answer = json.loads(self._ask("POST", "/oauth2/token", urllib.parse.urlencode(form).encode()))
        return str(answer["id_token"])

    def stop(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(timeout=20)

    def _ask(self, method: str, path: str, body: bytes, kind: str = "application/x-www-form-urlencoded") -> str:
        """The answer's body, or the address that it redirects to."""
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay).open(
                request, timeout=20
            ) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code in (302, 303):
                return error.headers["Location"]
            raise


@contextmanager
def issuer(*, lifetime_seconds: int = 3600) -> Iterator[Issuer]:
    """A running issuer, whose tokens live for so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(lifetime_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdout
    port = process.stdout.readline().strip()
    started = Issuer(f"http://localhost:{port}", process)
    try:
        yield started
    finally:
        started.stop()
        process.stdout.close()
