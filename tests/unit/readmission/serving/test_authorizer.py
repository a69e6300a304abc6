"""The Lambda authorizer: what it tells the gateway."""

import logging
from typing import Any

import pytest
from readmission.errors import IdentityUnavailable, TokenInvalid
from readmission.identity.actor import Actor
from readmission.serving.authorizer import Unauthorized, UsageKey, authorize

ANA = Actor("u-17", "Ana Ruiz", scopes=frozenset({"predict"}))
ARN = "arn:aws:execute-api:eu-central-1:000000000000:abc/v1/POST/predict"
LOGGER = logging.getLogger("authorize")


def actor_of(header: str | None) -> Actor:
    if header == "Bearer away":
        raise IdentityUnavailable("refused")
    if header != "Bearer good":
        raise TokenInvalid("the bearer token has expired")
    return ANA


def answer(api_key: bool = True, multi: dict[str, list[str]] | None = None, **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    event = {"methodArn": ARN, "headers": sent, "multiValueHeaders": multi}
    return authorize(event, actor_of, lambda: "the stack's key", LOGGER, api_key=api_key)


def test_a_token_is_allowed_this_request_and_counts_for_the_stacks_key() -> None:
    found = answer(Authorization="Bearer good", x_api_key="wrong")
    assert (found["principalId"], found["usageIdentifierKey"]) == ("u-17", "the stack's key")
    assert found["context"] == {"kind": "token", "subject": "u-17", "name": "Ana Ruiz", "scopes": "predict"}
    (statement,) = found["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", ARN)


def test_a_key_is_left_to_the_gateway() -> None:
    found = answer(X_API_Key="some key")
    assert (found["principalId"], found["usageIdentifierKey"], found["context"]["kind"]) == (
        "api_key",
        "some key",
        "api_key",
    )


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer bad"}, {"Authorization": "Bearer bad", "x_api_key": "some key"}]
)
def test_anything_else_is_unauthorized_in_the_gateways_word(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as refused:
        answer(**headers)
    assert str(refused.value) == "Unauthorized"


def test_a_key_does_not_suffice_where_it_is_switched_off() -> None:
    with pytest.raises(Unauthorized):
        answer(api_key=False, x_api_key="some key")


def test_two_authorization_headers_are_unauthorized() -> None:
    with pytest.raises(Unauthorized):
        answer(Authorization="Bearer good", multi={"Authorization": ["Bearer bad", "Bearer good"]})


def test_an_issuer_that_is_away_is_no_reason_to_call_a_token_bad() -> None:
    with pytest.raises(IdentityUnavailable):
        answer(Authorization="Bearer away")


def test_the_stacks_key_is_read_once() -> None:
    asked: list[Any] = []

    class Client:
        def get_api_key(self, **given: Any) -> dict[str, str]:
            asked.append(given)
            return {"value": "secret"}

    key = UsageKey(Client(), "k1")
    assert (key(), key(), asked) == ("secret", "secret", [{"apiKey": "k1", "includeValue": True}])
