"""The public keys of an issuer, at a known URL or found by OpenID Connect discovery, and kept in memory."""

import json
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from threading import Lock
from typing import Any, Final

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from readmission.errors import IdentityUnavailable
from readmission.settings import is_protected

DISCOVERY: Final = "/.well-known/openid-configuration"
FRESH_SECONDS: Final = 600.0
# Without an answer of the issuer, its keys are believed for this long.
STALE_SECONDS: Final = 3600.0
# An unknown key, or an issuer that is away, makes us ask again, but no more often than this.
AGAIN_SECONDS: Final = 10.0
_TIMEOUT_SECONDS: Final = 3.0
_LARGEST_BYTES: Final = 1 << 20

type Fetch = Callable[[str], Any]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """A redirect could lead to a server that anybody can change."""


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


def fetch(url: str) -> Any:
    """The JSON document at the URL. Raises `OSError`, `HTTPException` or `ValueError`."""
    with _OPENER.open(url, timeout=_TIMEOUT_SECONDS) as answer:
        content = answer.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"the document has more than {_LARGEST_BYTES} bytes")
    return json.loads(content)


class Keys:
    """The keys of an issuer, by their id (`kid`). Threads may share them.

    `url` is that of the key set; empty, the issuer's discovery document names it. `clock` is a monotonic clock in
    seconds.
    """

    def __init__(
        self, issuer: str, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic, *, url: str = ""
    ) -> None:
        self._issuer, self._fetch, self._clock, self._url = issuer, fetch, clock, url
        self._lock = Lock()
        self._keys: dict[str | None, PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._problem = ""

    def find(self, kid: str | None) -> PyJWK | None:
        """The key with this id; None if the issuer has none. A token without an id is signed by the only key.

        Raises `IdentityUnavailable` if the issuer does not tell its keys.
        """
        with self._lock:
            if self._age(self._read_at) > FRESH_SECONDS:
                self._refresh()
            key = self._known(kid)
            if key is None and self._age(self._tried_at) > AGAIN_SECONDS:
                self._refresh()
                key = self._known(kid)
            if key is None and self._problem:
                raise IdentityUnavailable(self._problem)
            return key

    def _known(self, kid: str | None) -> PyJWK | None:
        if self._age(self._read_at) > STALE_SECONDS:
            return None
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _age(self, moment: float) -> float:
        return self._clock() - moment

    def _refresh(self) -> None:
        """Read the keys again, unless that was tried a moment ago; keep the known ones if it fails."""
        if self._age(self._tried_at) <= AGAIN_SECONDS:
            return
        self._tried_at = self._clock()
        try:
            found = self._read()
        except (OSError, HTTPException, ValueError, PyJWTError) as error:
            self._problem = f"cannot read the keys of the issuer {self._issuer}: {error}"
            return
        self._keys, self._problem, self._read_at = found, "", self._clock()

    def _read(self) -> dict[str | None, PyJWK]:
        keys = self._fetch(self._url or self._discovered())
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            raise ValueError("it answers no key set")
        listed = [key for key in keys["keys"] if isinstance(key, dict) and key.get("use", "sig") == "sig"]
        # A shared secret must never verify a signature here.
        public = [key for key in listed if key.get("kty") != "oct"]
        return {key.key_id: key for key in PyJWKSet.from_dict({"keys": public}).keys}

    def _discovered(self) -> str:
        document = self._fetch(self._issuer.rstrip("/") + DISCOVERY)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("its discovery document names another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not is_protected(url):
            raise ValueError("its discovery document has no jwks_uri with https")
        return url
