"""All issuers whose tokens are accepted: one of OpenID Connect, for people and programs, and those of EHRs."""

from readmission.errors import TokenInvalid
from readmission.identity.actor import Actor
from readmission.identity.ehr import EhrTokens
from readmission.identity.tokens import Tokens
from readmission.settings import EhrTrustSettings, IdentitySettings


class Issuers:
    """Turns tokens into actors. A token that says it is of a trusted EHR is checked as such, any other by `tokens`."""

    def __init__(self, tokens: Tokens | None, ehrs: EhrTokens | None) -> None:
        self._tokens, self._ehrs = tokens, ehrs

    @classmethod
    def of(cls, identity: IdentitySettings | None, trust: EhrTrustSettings | None) -> "Issuers":
        """Those of these settings."""
        return cls(Tokens(identity) if identity else None, EhrTokens(trust) if trust else None)

    def decides(self, header: str | None) -> bool:
        """Whether the token, and not the API key, says who asks, if a request has this Authorization header and a key.

        With EHRs alone, the key does, as without them, unless the token says it is of one of the EHRs.
        """
        if header is None:
            return False
        return self._tokens is not None or (self._ehrs is not None and self._ehrs.names_one(header))

    def actor(self, header: str | None) -> Actor:
        """Who sent this Authorization header.

        Raises `TokenInvalid`, whose message repeats nothing of the token, or `IdentityUnavailable`.
        """
        if self._ehrs and (self._tokens is None or self._ehrs.names_one(header)):
            return self._ehrs.actor(header)
        if self._tokens is None:
            raise TokenInvalid("no issuer's tokens are accepted here")
        return self._tokens.actor(header)
