"""Checks bearer tokens: JSON Web Tokens that an OpenID Connect issuer signed for our audience."""

from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from readmission.errors import TokenInvalid
from readmission.identity.actor import Actor, ours
from readmission.identity.keys import Keys
from readmission.settings import IdentitySettings

# Signatures by a private key alone: with a shared secret (HS256), everyone who knows the public key could sign.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")
# How far the clocks of the issuer and of this machine may be apart.
LEEWAY_SECONDS: Final = 10
_NAMES: Final = ("name", "preferred_username", "email")
LONGEST_NAME: Final = 200
# Gateways refuse larger headers.
LONGEST_TOKEN: Final = 10_240


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header; None if it has none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Tokens:
    """Turns the tokens of one issuer into actors."""

    def __init__(self, settings: IdentitySettings, keys: Keys | None = None) -> None:
        self._settings = settings
        self._keys = keys or Keys(settings.issuer)

    def actor(self, header: str | None) -> Actor:
        """Who sent this Authorization header.

        Raises `TokenInvalid`, whose message repeats nothing of the token, or `IdentityUnavailable`.
        """
        token = bearer(header)
        if token is None:
            raise TokenInvalid("the request has no bearer token in the Authorization header")
        return self._actor(self._claims(token))

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token) if len(token) <= LONGEST_TOKEN else {}
        except (PyJWTError, ValueError, RecursionError):
            header = {}
        if header.get("alg") not in ALGORITHMS or "crit" in header:
            raise TokenInvalid("the bearer token is not a signed JSON Web Token")
        kid = header.get("kid")
        key = self._keys.find(kid if isinstance(kid, str) else None)
        if key is None:
            raise TokenInvalid("the bearer token is signed with a key that its issuer does not have")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except ExpiredSignatureError:
            raise TokenInvalid("the bearer token has expired") from None
        except (PyJWTError, ValueError, TypeError, RecursionError):
            detail = "the bearer token is not valid: its signature, issuer, audience or time is wrong"
            raise TokenInvalid(detail) from None

    def _actor(self, claims: Mapping[str, Any]) -> Actor:
        subject = claims["sub"]
        if not subject or len(subject) > LONGEST_NAME:
            raise TokenInvalid("the bearer token names nobody")
        named = (claims.get(name) for name in _NAMES)
        name = next((value for value in named if isinstance(value, str) and value.strip()), subject)
        scopes = ours(_scopes(claims), self._settings.scope_prefix)
        return Actor(subject, name.strip()[:LONGEST_NAME], scopes=scopes)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Of `scope` (RFC 9068), or of `scp`, which some issuers write; as a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        found.update(value.split() if isinstance(value, str) else ())
        found.update(one for one in value if isinstance(one, str)) if isinstance(value, list) else None
    return frozenset(found)
