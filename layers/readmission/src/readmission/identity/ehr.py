"""Checks the tokens of EHRs: JSON Web Tokens as CDS Hooks 2.0 has them, for the endpoint that is called.

Source: CDS Hooks 2.0, "Trusting CDS Clients".
"""

import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Final

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from readmission.errors import TokenInvalid
from readmission.identity.actor import Actor, is_cds_hooks
from readmission.identity.keys import Keys
from readmission.identity.tokens import ALGORITHMS, LEEWAY_SECONDS, LONGEST_NAME, LONGEST_TOKEN, bearer
from readmission.settings import Ehr, EhrTrustSettings

_REQUIRED: Final = ("iss", "aud", "exp", "iat", "jti")
# The ids of tokens are kept until these end, so nothing may be issued for years.
LONGEST_LIFE_SECONDS: Final = 3600
_LONGEST_ID: Final = 200

type KeysOf = Callable[[Ehr], Keys]


class Seen:
    """The ids of tokens that have been accepted, each until its token ends. Threads may share them.

    Of this process alone: another process, or another instance of a Lambda function, accepts the token once more.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: set[tuple[str, str]] = set()
        self._ends: list[tuple[float, tuple[str, str]]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def is_new(self, issuer: str, token_id: str, end: float, now: float) -> bool:
        """Whether the issuer's token with this id is seen for the first time; `end` and `now` are Unix times."""
        found = (issuer, token_id)
        with self._lock:
            while self._ends and self._ends[0][0] < now:
                self._ids.discard(heapq.heappop(self._ends)[1])
            if found in self._ids:
                return False
            self._ids.add(found)
            heapq.heappush(self._ends, (end, found))
            return True


def _keys_of(ehr: Ehr) -> Keys:
    return Keys(ehr.issuer, url=ehr.keys_url)


class EhrTokens:
    """Turns the tokens of the trusted EHRs into actors. `clock` tells the Unix time in seconds."""

    def __init__(
        self, settings: EhrTrustSettings, keys_of: KeysOf = _keys_of, clock: Callable[[], float] = time.time
    ) -> None:
        self._base = settings.base_url
        self._ehrs = {ehr.issuer: (ehr, keys_of(ehr)) for ehr in settings.ehrs}
        self._seen, self._clock = Seen(), clock

    def names_one(self, header: str | None) -> bool:
        """Whether the token in this Authorization header says that it is of a trusted EHR; that is not checked here."""
        token = bearer(header)
        return token is not None and _unverified(token)[1].get("iss") in self._ehrs

    def actor(self, header: str | None) -> Actor:
        """The EHR that sent this Authorization header.

        Raises `TokenInvalid`, whose message repeats nothing of the token, or `IdentityUnavailable`.
        """
        token = bearer(header)
        if token is None:
            raise TokenInvalid("the request has no bearer token in the Authorization header")
        claims = self._claims(token)
        endpoints = frozenset(self._endpoints(claims["aud"]))
        if not endpoints:
            raise TokenInvalid("the bearer token is for another service: its audience (aud) is none of our endpoints")
        tenant = claims.get("tenant", "")
        if not isinstance(tenant, str) or len(tenant) > LONGEST_NAME:
            raise TokenInvalid(f"the bearer token's tenant must be a text of up to {LONGEST_NAME} characters")
        issuer: str = claims["iss"]
        if not self._seen.is_new(issuer, claims["jti"], claims["exp"] + LEEWAY_SECONDS, self._clock()):
            raise TokenInvalid("the bearer token has been used before (jti)")
        return Actor.of_ehr(issuer, f"{issuer}, tenant {tenant.strip()}" if tenant.strip() else issuer, endpoints)

    def _claims(self, token: str) -> Mapping[str, Any]:
        header, unverified = _unverified(token)
        if header.get("alg") not in ALGORITHMS or header.get("typ") != "JWT" or "crit" in header:
            raise TokenInvalid("the bearer token is not a JSON Web Token (typ JWT) with an asymmetric signature")
        if (issuer := unverified.get("iss")) not in self._ehrs:
            raise TokenInvalid("the bearer token is of an issuer that is not trusted here")
        ehr, keys = self._ehrs[issuer]
        if header.get("jku", ehr.keys_url) != ehr.keys_url:
            raise TokenInvalid("the bearer token names another key set (jku) than the one known of its issuer")
        kid = header.get("kid")
        # A key without an id is never looked for: CDS Hooks wants one in every token.
        key = keys.find(kid) if isinstance(kid, str) and kid else None
        if key is None:
            raise TokenInvalid("the bearer token is signed with a key that its issuer does not have (kid)")
        claims = _verified(token, key.key, ehr.issuer)
        _check_life(claims)
        return claims

    def _endpoints(self, audience: str | list[str]) -> Iterator[str]:
        """The paths of CDS Hooks here that the token is for."""
        for url in [audience] if isinstance(audience, str) else audience:
            path = url.removeprefix(self._base)
            if path != url and is_cds_hooks(path):
                yield path


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the token's header and claims say, before any check; both empty if it is not a token."""
    if len(token) > LONGEST_TOKEN:
        return {}, {}
    try:
        found = jwt.decode_complete(token, options={"verify_signature": False})
    except (PyJWTError, ValueError, TypeError, RecursionError):
        return {}, {}
    issuer = found["payload"].get("iss")
    return found["header"], found["payload"] if isinstance(issuer, str) else {}


def _verified(token: str, key: Any, issuer: str) -> Mapping[str, Any]:
    """The claims of a token that this public key verifies.

    The key's `alg` is optional in a key set, so the token's decides, which is one of `ALGORITHMS`, of the key's kind.
    """
    try:
        return jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_REQUIRED), "verify_aud": False},  # `_endpoints` compares it with our paths
        )
    except ExpiredSignatureError:
        raise TokenInvalid("the bearer token has expired") from None
    except (PyJWTError, ValueError, TypeError, RecursionError):
        detail = "the bearer token is not valid: its signature or time is wrong, or it lacks aud, exp, iat or jti"
        raise TokenInvalid(detail) from None


def _check_life(claims: Mapping[str, Any]) -> None:
    """Raises `TokenInvalid` if the claims cannot be compared, or if the token would have to be remembered for long."""
    audience, token_id = claims["aud"], claims["jti"]
    urls = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(url, str) for url in urls) or not 0 < len(token_id) <= _LONGEST_ID:
        raise TokenInvalid("the bearer token's aud must be a URL or a list of URLs, and its jti a text of 1 to 200")
    times = (claims["iat"], claims["exp"])
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in times):
        raise TokenInvalid("the bearer token's iat and exp must be numbers")
    if claims["exp"] - claims["iat"] > LONGEST_LIFE_SECONDS:
        raise TokenInvalid("the bearer token is valid for more than an hour")
