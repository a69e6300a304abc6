"""The one who asks, and what a request needs. Imports no cryptography, so that every function may use it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, cast

from readmission.errors import ScopeMissing, TokenInvalid

type Scope = Literal["predict", "outcomes", "operate", "metrics"]
type Kind = Literal["token", "api_key", "ehr"]

SCOPES: Final[tuple[Scope, ...]] = ("predict", "outcomes", "operate", "metrics")
# Paths that change something, or show what others do; every other path shows forecasts or the model.
_SCOPES: Final[Mapping[str, Scope]] = {
    "/reload-model": "operate",
    "/monitor": "operate",
    "/metrics": "metrics",
    "/outcomes": "outcomes",
}
# The documentation, and what probes of containers and load balancers ask, which have no token.
_OPEN: Final = frozenset({"/docs", "/health", "/openapi.json"})
# What an API key allows, with or without tokens.
_OF_A_KEY: Final[frozenset[Scope]] = frozenset({"predict", "outcomes", "operate"})
# What the token of an EHR allows, at the endpoints that it is for.
_OF_AN_EHR: Final[frozenset[Scope]] = frozenset({"predict"})
# The endpoints of a CDS Hooks service: discovery, a service, and its feedback.
_CDS_HOOKS: Final = re.compile(r"/cds-services(?:/[A-Za-z0-9][A-Za-z0-9._~-]*(?:/feedback)?)?")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: `subject` is the token's `sub`, unique at the issuer, and `name` is for people.

    For an API key, the subject is the key's id, or empty if only the gateway knows it. For an EHR, it is the token's
    `iss`, and `endpoints` are the paths of CDS Hooks that the token is for.
    """

    subject: str
    name: str
    kind: Kind = "token"
    scopes: frozenset[str] = field(default_factory=frozenset)
    endpoints: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of_ehr(cls, issuer: str, name: str, endpoints: Iterable[str]) -> Self:
        """The EHR that sent a token for these paths."""
        return cls(issuer, name, "ehr", frozenset(_OF_AN_EHR), frozenset(endpoints))

    @classmethod
    def with_key(cls, key_id: str = "") -> Self:
        """The client that sent an API key."""
        return cls(key_id, "API key", "api_key", frozenset(_OF_A_KEY))

    @classmethod
    def from_gateway(cls, request_context: Mapping[str, Any]) -> Self:
        """The actor that the gateway's authorizer found.

        Raises `TokenInvalid` if no authorizer was asked: a gateway that does not check tokens lets nobody in.
        """
        context = request_context.get("authorizer") or {}
        kind = context.get("kind")
        if kind == "api_key":
            return cls.with_key(str((request_context.get("identity") or {}).get("apiKeyId") or ""))
        if kind not in ("token", "ehr") or not context.get("subject"):
            raise TokenInvalid("the gateway has not checked who asks")
        if kind == "ehr":
            endpoints = str(context.get("endpoints", "")).split()
            return cls.of_ehr(str(context["subject"]), str(context["name"]), endpoints)
        return cls(
            str(context["subject"]), str(context["name"]), "token", frozenset(str(context.get("scopes", "")).split())
        )

    def as_context(self) -> dict[str, str]:
        """What the authorizer passes to the functions, as text, because a gateway passes nothing else."""
        found = {
            "kind": self.kind,
            "subject": self.subject,
            "name": self.name,
            "scopes": " ".join(sorted(self.scopes)),
        }
        return found | {"endpoints": " ".join(sorted(self.endpoints))} if self.endpoints else found

    def require(self, path: str) -> None:
        """Raises `ScopeMissing` unless the actor may request the path.

        For an EHR that asks for another endpoint than its token is for, `TokenInvalid`.
        """
        if self.kind == "ehr":
            if not is_cds_hooks(path):
                raise ScopeMissing("the token of an EHR opens the paths of CDS Hooks alone")
            if path not in self.endpoints:
                raise TokenInvalid("the bearer token is for another endpoint than the one that is called (aud)")
        scope = scope_of(path)
        if scope not in self.scopes:
            raise ScopeMissing(f"the token lacks the scope {scope!r}, which this request needs")


def is_open(path: str) -> bool:
    """Whether the path needs no token, because its answer holds no data."""
    return path in _OPEN or path.startswith("/docs/")


def is_cds_hooks(path: str) -> bool:
    """Whether the path is one that an EHR calls: of discovery, of a service or of its feedback."""
    return _CDS_HOOKS.fullmatch(path) is not None


def scope_of(path: str) -> Scope:
    """The scope that a request to the path needs."""
    return _SCOPES.get(path, "predict")


def ours(scopes: frozenset[str], prefix: str) -> frozenset[str]:
    """Those of a token's scopes that are ours, without their prefix."""
    known = cast(frozenset[str], frozenset(SCOPES))
    return frozenset(scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)) & known
