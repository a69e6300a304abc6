"""Lets in only those who may ask.

401 for a request without a valid token, 403 without a valid API key or the scope that it needs.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from readmission.errors import ApiKeyInvalid, IdentityUnavailable, ScopeMissing, TokenInvalid
from readmission.http.asgi import problem_response
from readmission.http.identity import refusal
from readmission.identity.actor import Actor

if TYPE_CHECKING:
    from readmission.identity.api_keys import ApiKeys

ACTOR: Final = "readmission.http.actor"  # the key of the actor in an ASGI scope

type Identify = Callable[[Scope], Awaitable[Actor]]


class Authentication:
    """Finds out who asks, and keeps it in the scope. Paths for which `is_open` is true are for everybody."""

    def __init__(self, app: ASGIApp, identify: Identify, is_open: Callable[[str], bool]) -> None:
        self._app, self._identify, self._is_open = app, identify, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                actor = await self._identify(scope)
                actor.require(scope["path"])
            except (TokenInvalid, ApiKeyInvalid, ScopeMissing, IdentityUnavailable) as error:
                refused = refusal(error)
                answer = problem_response(scope, refused.status, refused.detail, headers=refused.headers)
                await answer(scope, receive, send)
                return
            scope[ACTOR] = actor
        await self._app(scope, receive, send)


async def by_gateway(scope: Scope) -> Actor:
    """The actor that the authorizer of API Gateway found. Raises `TokenInvalid` if there was none."""
    event: dict[str, Any] = scope.get("aws.event") or {}
    return Actor.from_gateway(event.get("requestContext") or {})


def by_token(actor_of: Callable[[str | None], Actor]) -> Identify:
    """Finds the actor by the Authorization header, where no gateway did; `actor_of` may wait for the issuer."""

    async def identify(scope: Scope) -> Actor:
        return await run_in_threadpool(actor_of, _only(scope, b"authorization"))

    return identify


def by_key(
    keys: "ApiKeys", tokens: Identify | None = None, decides: Callable[[str], bool] = lambda header: True
) -> Identify:
    """Finds the actor by the API key, where no gateway did; with `tokens`, by a token if the request has one.

    `decides` says of an Authorization header whether it goes before a key.
    """

    async def identify(scope: Scope) -> Actor:
        sent = {name for name, _ in scope["headers"]}
        if tokens and (b"x-api-key" not in sent or _goes_first(scope, sent, decides)):
            return await tokens(scope)
        if keys.due:
            await run_in_threadpool(keys.renew)
        key = _only(scope, b"x-api-key") or ""
        if known := keys.known(key):
            return known
        return await run_in_threadpool(keys.actor, key)

    return identify


def _goes_first(scope: Scope, sent: set[bytes], decides: Callable[[str], bool]) -> bool:
    if b"authorization" not in sent:
        return False
    header = _only(scope, b"authorization")
    return header is None or decides(header)


def _only(scope: Scope, header: bytes) -> str | None:
    """The header's value, if it was sent once. Of two, a proxy may have looked at one, and we at the other."""
    sent = [value for name, value in scope["headers"] if name == header]
    return sent[0].decode("latin-1") if len(sent) == 1 else None
