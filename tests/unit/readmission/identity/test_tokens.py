"""Which tokens are believed, and what they allow."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from readmission.errors import IdentityUnavailable, TokenInvalid
from readmission.identity.keys import Keys
from readmission.identity.tokens import LEEWAY_SECONDS, Tokens, bearer
from readmission.settings import IdentitySettings

from tests.unit.readmission.identity.issuer import AUDIENCE, URL, Issuer, claims, private_key, public_jwk, token

LATE = LEEWAY_SECONDS + 5


def now() -> int:
    """Not a constant, because minutes may pass between the collection of the tests and this one."""
    return int(time.time())


@pytest.fixture
def issuer() -> Issuer:
    return Issuer("first", "second")


@pytest.fixture
def tokens(issuer: Issuer) -> Tokens:
    return Tokens(IdentitySettings(URL, AUDIENCE), Keys(URL, issuer.fetch))


def public_pem(kid: str) -> bytes:
    return (
        private_key(kid)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def unsigned(algorithm: str) -> str:
    return f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': 'first'})}.{encoded(claims())}."


def signed_with_the_public_key(secret: bytes) -> str:
    return signed_by_hand(secret, claims())


def signed_by_hand(secret: bytes, payload: Any) -> str:
    """By HS256, because PyJWT refuses to sign with a public key."""
    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{encoded(payload)}"
    signature = base64.urlsafe_b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()
    return f"{text}.{signature.rstrip('=')}"


def changed(text: str, **changes: Any) -> str:
    """The token with other claims and the old signature."""
    head, _, signature = text.split(".")
    return f"{head}.{encoded(claims(**changes))}.{signature}"


def test_a_valid_token_says_who_asks_and_what_they_may(tokens: Tokens) -> None:
    actor = tokens.actor(f"Bearer {token(name='Ana Ruiz', scope='openid predict operate')}")
    assert (actor.subject, actor.name, actor.kind) == ("u-17", "Ana Ruiz", "token")
    assert actor.scopes == {"predict", "operate"}


@pytest.mark.parametrize("kid", ["first", "second"])
def test_every_key_of_the_issuer_is_believed(tokens: Tokens, kid: str) -> None:
    assert tokens.actor(f"bearer {token(kid)}").subject == "u-17"


ATTACKS = {
    "expired": lambda: token(iat=now() - 600, exp=now() - LATE),
    "not valid yet": lambda: token(nbf=now() + 60 + LATE),
    "issued in the future": lambda: token(iat=now() + 60 + LATE),
    "without an end": lambda: token(exp=None),
    "without a subject": lambda: token(sub=None),
    "with an empty subject": lambda: token(sub=""),
    "without an audience": lambda: token(aud=None),
    "for another audience": lambda: token(aud="https://other.example"),
    "of another issuer": lambda: token(iss="https://evil.example"),
    "of an issuer with a similar name": lambda: token(iss=URL + "/"),
    "unsigned, alg none": lambda: unsigned("none"),
    "unsigned, alg None": lambda: unsigned("None"),
    "unsigned, alg NONE": lambda: unsigned("NONE"),
    "unsigned, alg RS256": lambda: unsigned("RS256"),
    "with the signature cut off": lambda: token().rsplit(".", 1)[0],
    "HS256 with the public key as secret": lambda: signed_with_the_public_key(public_pem("first")),
    "HS256 with the key set's modulus as secret": lambda: signed_with_the_public_key(public_jwk("first")["n"].encode()),
    "HS256 with an empty secret": lambda: signed_with_the_public_key(b""),
    "with changed claims": lambda: changed(token(), sub="admin"),
    "signed by another key under a known id": lambda: token("first", key=private_key("third")),
    "of an unknown key": lambda: token("third"),
    "without a key id, where the issuer has several keys": lambda: jwt.encode(claims(), private_key("first"), "RS256"),
    "with a key that it brings itself": lambda: token("third", headers={"jwk": public_jwk("third"), "kid": "first"}),
    "with a key address that it brings itself": lambda: token("third", headers={"jku": "https://evil.example/jwks"}),
    "with a header that must be understood": lambda: token(headers={"crit": ["exp"], "exp": now()}),
    "signed with a key of another kind": lambda: token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "not a token": lambda: "the-key-of-the-metrics",
    "empty parts": lambda: "..",
    "too long": lambda: token(filler="x" * 10_240),
    "a header that is a list": lambda: f"{encoded([])}.{encoded(claims())}.c2ln",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_is_refused_that_is(attack: str, tokens: Tokens) -> None:
    with pytest.raises(TokenInvalid) as refused:
        tokens.actor(f"Bearer {ATTACKS[attack]()}")
    assert "u-17" not in str(refused.value) and "eyJ" not in str(refused.value)


def test_a_key_address_in_a_token_is_never_asked(tokens: Tokens, issuer: Issuer) -> None:
    with pytest.raises(TokenInvalid):
        tokens.actor(f"Bearer {token('third', headers={'jku': 'https://evil.example/jwks'})}")
    assert all(url.startswith(URL) for url in issuer.asked)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", token()])
def test_a_header_without_a_bearer_token_is_refused(header: str | None, tokens: Tokens) -> None:
    assert bearer(header) is None
    with pytest.raises(TokenInvalid, match="no bearer token"):
        tokens.actor(header)


def test_an_expired_token_is_named_as_such(tokens: Tokens) -> None:
    with pytest.raises(TokenInvalid, match="has expired"):
        tokens.actor(f"Bearer {token(iat=now() - 600, exp=now() - LATE)}")


@pytest.mark.parametrize(
    ("given", "prefix", "found"),
    [
        ({"scope": "predict metrics"}, "", {"predict", "metrics"}),
        ({"scope": None, "scp": ["operate"]}, "", {"operate"}),
        ({"scope": None, "scp": "predict operate"}, "", {"predict", "operate"}),
        ({"scope": ["predict"]}, "", {"predict"}),
        ({"scope": "readmission/predict other/operate metrics"}, "readmission/", {"predict"}),
        ({"scope": "admin PREDICT predict2"}, "", set()),
        ({"scope": None}, "", set()),
        ({"scope": 7, "scp": [1, None]}, "", set()),
    ],
)
def test_scopes_are_read_as_issuers_write_them(
    issuer: Issuer, given: dict[str, Any], prefix: str, found: set[str]
) -> None:
    tokens = Tokens(IdentitySettings(URL, AUDIENCE, prefix), Keys(URL, issuer.fetch))
    assert tokens.actor(f"Bearer {token(**given)}").scopes == found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "u-17"),
        ({"email": "ana@ward.example"}, "ana@ward.example"),
        ({"preferred_username": "ana", "email": "ana@ward.example"}, "ana"),
        ({"name": " ", "preferred_username": 5}, "u-17"),
        ({"name": "x" * 300}, "x" * 200),
    ],
)
def test_the_name_is_the_first_that_the_token_has(tokens: Tokens, given: dict[str, Any], name: str) -> None:
    assert tokens.actor(f"Bearer {token(**given)}").name == name


def test_without_the_issuers_keys_nobody_is_let_in_and_nobody_called_a_liar(tokens: Tokens, issuer: Issuer) -> None:
    issuer.go_away()
    with pytest.raises(IdentityUnavailable, match=URL):
        tokens.actor(f"Bearer {token()}")


def test_a_token_without_a_key_id_is_signed_by_the_only_key() -> None:
    tokens = Tokens(IdentitySettings(URL, AUDIENCE), Keys(URL, Issuer("first").fetch))
    text = jwt.encode(claims(), private_key("first"), "RS256")
    assert tokens.actor(f"Bearer {text}").subject == "u-17"
