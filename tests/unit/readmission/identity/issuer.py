"""An OpenID Connect issuer in memory, which signs any token that a test asks for."""

import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from readmission.identity.keys import DISCOVERY

URL = "https://login.example/realm"
AUDIENCE = "https://api.example"


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """A key by its id; generating one takes a while, so all tests share it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(private_key(name).public_key()))
    return found | {"kid": name, "use": "sig", "alg": "RS256"} | changes


class Issuer:
    """`documents` are its answers by URL; an exception is raised. `asked` lists the requested URLs."""

    def __init__(self, *kids: str) -> None:
        self.asked: list[str] = []
        self.documents: dict[str, Any] = {URL + DISCOVERY: {"issuer": URL, "jwks_uri": f"{URL}/jwks"}}
        self.publish(*kids)

    def publish(self, *kids: str) -> None:
        self.documents[f"{URL}/jwks"] = {"keys": [public_jwk(kid) for kid in kids]}

    def fetch(self, url: str) -> Any:
        self.asked.append(url)
        found = self.documents[url]
        if isinstance(found, Exception):
            raise found
        return found

    def go_away(self) -> None:
        self.documents = dict.fromkeys(self.documents, ConnectionRefusedError("refused"))


def claims(**changes: Any) -> dict[str, Any]:
    """A valid token's claims; a change to None leaves a claim out."""
    now = int(time.time())
    valid = {"iss": URL, "aud": AUDIENCE, "sub": "u-17", "iat": now, "exp": now + 300, "scope": "openid predict"}
    return {name: value for name, value in (valid | changes).items() if value is not None}


def token(
    kid: str = "first", *, key: Any = None, algorithm: str = "RS256", headers: Mapping[str, Any] = {}, **changes: Any
) -> str:
    """A token, signed with the issuer's key `kid` unless the test gives another."""
    return jwt.encode(
        claims(**changes), key if key is not None else private_key(kid), algorithm, headers={"kid": kid, **headers}
    )
