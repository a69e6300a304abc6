"""The Lambda authorizer: what it tells the gateway."""

import logging
from typing import Any

import pytest
from readmission.errors import IdentityUnavailable, TokenInvalid
from readmission.identity.actor import Actor
from readmission.serving.authorizer import Unauthorized, UsageKey, authorize

ANA = Actor("u-17", "Ana Ruiz", scopes=frozenset({"predict"}))
EHR = Actor.of_ehr("https://ehr.example", "https://ehr.example", ["/cds-services"])
ARN = "arn:aws:execute-api:eu-central-1:000000000000:abc/v1/POST/predict"
LOGGER = logging.getLogger("authorize")


class Issuers:
    """Of people, or with `ehrs` of EHRs alone, whose tokens decide if they begin with "ehr"."""

    def __init__(self, *, ehrs: bool = False) -> None:
        self._ehrs = ehrs

    def decides(self, header: str | None) -> bool:
        return header is not None and (not self._ehrs or header.startswith("Bearer ehr"))

    def actor(self, header: str | None) -> Actor:
        if header == "Bearer away":
            raise IdentityUnavailable("refused")
        if header == "Bearer ehr good":
            return EHR
        if header != "Bearer good":
            raise TokenInvalid("the bearer token has expired")
        return ANA


def answer(
    api_key: bool = True, multi: dict[str, list[str]] | None = None, ehrs: bool = False, **headers: str
) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    event = {"methodArn": ARN, "headers": sent, "multiValueHeaders": multi}
    return authorize(event, Issuers(ehrs=ehrs), lambda: "the stack's key", LOGGER, api_key=api_key)


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


@pytest.mark.parametrize("sent", ["Basic dXNlcg==", "Bearer of somebody"])
def test_with_ehrs_alone_a_key_does_what_it_did_without_them(sent: str) -> None:
    assert answer(ehrs=True, Authorization=sent, x_api_key="some key")["context"]["kind"] == "api_key"
    with pytest.raises(Unauthorized):
        answer(ehrs=True, Authorization=sent)


def test_the_token_of_an_ehr_decides_even_with_a_key_and_the_functions_learn_what_it_is_for() -> None:
    found = answer(ehrs=True, Authorization="Bearer ehr good", x_api_key="some key")
    assert (found["usageIdentifierKey"], found["context"]) == (
        "the stack's key",
        {
            "kind": "ehr",
            "subject": "https://ehr.example",
            "name": "https://ehr.example",
            "scopes": "predict",
            "endpoints": "/cds-services",
        },
    )
    with pytest.raises(Unauthorized):
        answer(ehrs=True, Authorization="Bearer ehr bad", x_api_key="some key")


def test_two_headers_and_a_key_are_unauthorized_with_ehrs_alone_too() -> None:
    twice = {"Authorization": ["Bearer ehr good", "Basic dXNlcg=="]}
    with pytest.raises(Unauthorized):
        answer(ehrs=True, Authorization="Basic dXNlcg==", x_api_key="some key", multi=twice)


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
