"""The Lambda authorizer of API Gateway (REQUEST): who sends a request, by bearer token or by API key.

It says who asks. What the actor may do, each function decides by the path that it serves itself: a gateway may spell a
path in another way.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from readmission.errors import TokenInvalid
from readmission.identity.actor import Actor
from readmission.telemetry.logs import Logger

# API Gateway answers 401 to this message, and 500 to any other (503, by the template's GatewayResponses).
_UNAUTHORIZED = "Unauthorized"


class Issuers(Protocol):
    """As `readmission.identity.issuers`, which imports cryptography."""

    def actor(self, header: str | None) -> Actor: ...

    def decides(self, header: str | None) -> bool: ...


class Unauthorized(Exception):
    """What API Gateway wants to be told: its message is the whole interface."""

    def __init__(self) -> None:
        super().__init__(_UNAUTHORIZED)


def authorize(
    event: Mapping[str, Any], issuers: Issuers, usage_key: Callable[[], str], logger: Logger, *, api_key: bool
) -> dict[str, Any]:
    """The authorizer's answer: the actor, and the API key whose usage plan the request counts for.

    A request with a token counts for `usage_key`; one without, or with a token that does not decide, but with an API
    key, for that key, which the gateway checks. Raises `Unauthorized`, and `IdentityUnavailable` if no token can be
    checked now.
    """
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    sent = headers.get("authorization")
    key = headers.get("x-api-key")
    # With two headers, the gateway tells the last; a function or a proxy might look at the first.
    twice = _sent_twice(event)
    if key and api_key and not (twice or issuers.decides(sent)):
        return _allow(event, Actor.with_key(), key)
    try:
        actor = issuers.actor(None if twice else sent)
    except TokenInvalid as error:
        logger.info("refused", extra={"reason": str(error)})
        raise Unauthorized from None
    return _allow(event, actor, usage_key())


def _sent_twice(event: Mapping[str, Any]) -> bool:
    values = event.get("multiValueHeaders") or {}
    return sum(len(found) for name, found in values.items() if name.lower() == "authorization") > 1


def _allow(event: Mapping[str, Any], actor: Actor, key: str) -> dict[str, Any]:
    return {
        "principalId": actor.subject or actor.kind,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}],
        },
        "context": actor.as_context(),
        "usageIdentifierKey": key,
    }


class UsageKey:
    """The value of the API key with this id, read once. `client` is a boto3 client of API Gateway."""

    def __init__(self, client: Any, key_id: str) -> None:
        self._client, self._id = client, key_id
        self._value = ""

    def __call__(self) -> str:
        """Raises botocore's errors."""
        if not self._value:
            self._value = self._client.get_api_key(apiKey=self._id, includeValue=True)["value"]
        return self._value
