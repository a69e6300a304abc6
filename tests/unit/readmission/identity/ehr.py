"""An EHR in memory, which signs the tokens of CDS Hooks that a test asks for."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from readmission.identity.ehr import EhrTokens
from readmission.identity.keys import Fetch, Keys
from readmission.settings import Ehr, EhrTrustSettings

from tests.unit.readmission.identity.issuer import private_key, public_jwk

ISSUER = "https://ehr.example"
KEYS_URL = "https://keys.ehr.example/jwks.json"
BASE = "https://api.example/v1"
SERVICE = "/cds-services/readmission-at-discharge"
TRUST = EhrTrustSettings(
    (Ehr(ISSUER, KEYS_URL), Ehr("https://other-ehr.example", "https://other-ehr.example/jwks")), BASE
)


class KeyServer:
    """What the EHR answers at the URL of its key set; an exception is raised. `asked` lists the requested URLs."""

    def __init__(self, *kids: str) -> None:
        self.asked: list[str] = []
        self.answer: Any = {"keys": [public_jwk(kid) for kid in kids]}

    def fetch(self, url: str) -> Any:
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def verifier(fetch: Fetch, clock: Callable[[], float] = time.time, trust: EhrTrustSettings = TRUST) -> EhrTokens:
    return EhrTokens(trust, lambda ehr: Keys(ehr.issuer, fetch, url=ehr.keys_url), clock)


def claims(**changes: Any) -> dict[str, Any]:
    """A valid token's claims, with an id of its own; a change to None leaves a claim out."""
    now = int(time.time())
    valid = {"iss": ISSUER, "aud": BASE + SERVICE, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
    return {name: value for name, value in (valid | changes).items() if value is not None}


def token(
    kid: str = "first", *, key: Any = None, algorithm: str = "RS256", headers: Mapping[str, Any] = {}, **changes: Any
) -> str:
    """A token, signed with the EHR's key `kid` unless the test gives another."""
    sent = {"kid": kid, **headers}
    return jwt.encode(claims(**changes), key if key is not None else private_key(kid), algorithm, headers=sent)
