"""Which tokens of EHRs are believed, and which endpoints they open."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from readmission.errors import IdentityUnavailable, TokenInvalid
from readmission.identity.ehr import LONGEST_LIFE_SECONDS, EhrTokens, Seen
from readmission.identity.tokens import LEEWAY_SECONDS

from tests.unit.readmission.identity.ehr import BASE, ISSUER, KEYS_URL, SERVICE, KeyServer, claims, token, verifier
from tests.unit.readmission.identity.issuer import private_key, public_jwk
from tests.unit.readmission.identity.test_tokens import changed, encoded, public_pem, signed_by_hand

LATE = LEEWAY_SECONDS + 5


def now() -> int:
    return int(time.time())


@pytest.fixture
def server() -> KeyServer:
    return KeyServer("first", "second")


@pytest.fixture
def ehrs(server: KeyServer) -> EhrTokens:
    return verifier(server.fetch)


def test_a_valid_token_names_the_ehr_and_the_endpoint_that_it_is_for(ehrs: EhrTokens) -> None:
    actor = ehrs.actor(f"Bearer {token()}")
    assert (actor.kind, actor.subject, actor.name) == ("ehr", ISSUER, ISSUER)
    assert (actor.scopes, actor.endpoints) == ({"predict"}, {SERVICE})


def test_a_tenant_is_part_of_the_name_for_people(ehrs: EhrTokens) -> None:
    actor = ehrs.actor(f"Bearer {token(tenant='ward-7')}")
    assert (actor.subject, actor.name) == (ISSUER, f"{ISSUER}, tenant ward-7")
    assert ehrs.actor(f"Bearer {token(tenant=' ')}").name == ISSUER


@pytest.mark.parametrize(
    ("audience", "paths"),
    [
        (f"{BASE}/cds-services", {"/cds-services"}),
        ([f"{BASE}/cds-services"], {"/cds-services"}),
        (["https://other.example/cds-services", f"{BASE}{SERVICE}/feedback"], {f"{SERVICE}/feedback"}),
        ([f"{BASE}/cds-services", BASE + SERVICE], {"/cds-services", SERVICE}),
    ],
)
def test_the_audience_is_the_url_of_an_endpoint_or_a_list_with_it(ehrs: EhrTokens, audience: Any, paths: Any) -> None:
    assert ehrs.actor(f"Bearer {token(aud=audience)}").endpoints == paths


@pytest.mark.parametrize(
    "audience",
    [
        BASE,
        f"{BASE}/",
        f"{BASE}/predict",
        f"{BASE}/cds-services/",
        f"{BASE}/cds-services/a/b",
        f"{BASE}/cds-services/../predict",
        f"{BASE}/cds-services?x=1",
        f"{BASE}cds-services",
        f"{BASE}/cds-services /predict",
        "/cds-services",
        "https://api.example/cds-services",
        "https://evil.example/v1/cds-services",
        f"https://evil.example/{BASE}/cds-services",
        "",
        [],
    ],
)
def test_an_audience_that_is_none_of_our_endpoints_is_refused(ehrs: EhrTokens, audience: Any) -> None:
    with pytest.raises(TokenInvalid, match="aud"):
        ehrs.actor(f"Bearer {token(aud=audience)}")


def test_the_known_key_set_may_be_named_and_every_key_of_it_is_believed(ehrs: EhrTokens, server: KeyServer) -> None:
    assert ehrs.actor(f"bearer {token('second', headers={'jku': KEYS_URL})}").subject == ISSUER
    assert server.asked == [KEYS_URL]


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "PS512"])
def test_a_key_without_an_algorithm_verifies_those_of_its_kind(algorithm: str) -> None:
    """CDS Hooks recommends RS384, and `alg` is optional in a key set."""
    server = KeyServer()
    server.answer = {"keys": [{name: value for name, value in public_jwk("first").items() if name != "alg"}]}
    assert verifier(server.fetch).actor(f"Bearer {token(algorithm=algorithm)}").subject == ISSUER


def test_elliptic_curves_verify_too() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    server = KeyServer()
    server.answer = {"keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "curve"}]}
    assert verifier(server.fetch).actor(f"Bearer {token('curve', key=key, algorithm='ES384')}").subject == ISSUER


def without_kid() -> str:
    return jwt.encode(claims(), private_key("first"), "RS256")


ATTACKS: dict[str, tuple[Any, str]] = {
    "of an issuer that is not listed": (lambda: token(iss="https://evil.example"), "not trusted"),
    "of an issuer with a similar name": (lambda: token(iss=f"{ISSUER}/"), "not trusted"),
    "without an issuer": (lambda: token(iss=None), "not trusted"),
    "whose issuer is a list": (lambda: changed(token(), iss=[ISSUER]), "not trusted"),
    "of one EHR, said to be of another": (lambda: token("third", iss="https://other-ehr.example"), "kid"),
    "expired": (lambda: token(iat=now() - 600, exp=now() - LATE), "has expired"),
    "issued in the future": (lambda: token(iat=now() + 60 + LATE, exp=now() + 300), "time is wrong"),
    "not valid yet": (lambda: token(nbf=now() + 60 + LATE), "time is wrong"),
    "without an end": (lambda: token(exp=None), "lacks"),
    "without a beginning": (lambda: token(iat=None), "lacks"),
    "without an audience": (lambda: token(aud=None), "lacks"),
    "without an id": (lambda: token(jti=None), "lacks"),
    "with an empty id": (lambda: token(jti=""), "jti"),
    "with a long id": (lambda: token(jti="x" * 201), "jti"),
    "with a list of other things as audience": (lambda: token(aud=[7]), "aud"),
    "with an end that is a text": (lambda: token(exp=str(now() + 300)), "numbers"),
    "valid for more than an hour": (lambda: token(exp=now() + LONGEST_LIFE_SECONDS + 60), "more than an hour"),
    "with a tenant that is not a text": (lambda: token(tenant=7), "tenant"),
    "with a long tenant": (lambda: token(tenant="x" * 201), "tenant"),
    "unsigned": (
        lambda: f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': 'first'})}.{encoded(claims())}.",
        "asymmetric",
    ),
    "HS256 with the public key as secret": (lambda: signed_by_hand(public_pem("first"), claims()), "asymmetric"),
    "HS384 with a shared secret": (lambda: token(key="s" * 64, algorithm="HS384"), "asymmetric"),
    "without a type": (lambda: token(headers={"typ": None}), "typ JWT"),
    "of another type": (lambda: token(headers={"typ": "at+jwt"}), "typ JWT"),
    "with a header that must be understood": (lambda: token(headers={"crit": ["exp"], "exp": now()}), "JSON Web Token"),
    "without a key id": (without_kid, "kid"),
    "of an unknown key": (lambda: token("third"), "kid"),
    "with a key that it brings itself": (
        lambda: token("third", headers={"jwk": public_jwk("third"), "kid": "first"}),
        "signature",
    ),
    "signed by another key under a known id": (lambda: token("first", key=private_key("third")), "signature"),
    "signed with a key of another kind": (
        lambda: token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        "signature",
    ),
    "with changed claims": (lambda: changed(token(), **claims(tenant="other")), "signature"),
    "with another key set": (lambda: token(headers={"jku": "https://evil.example/jwks.json"}), "jku"),
    "with a key set that is not a text": (lambda: changed_header(jku=[KEYS_URL]), "jku"),
    "not a token": (lambda: "the-key-of-the-metrics", "not a JSON Web Token"),
    "empty parts": (lambda: "..", "not a JSON Web Token"),
    "claims that are a list": (
        lambda: f"{encoded({'alg': 'RS256', 'typ': 'JWT'})}.{encoded([])}.c2ln",
        "JSON Web Token",
    ),
    "too long": (lambda: token(filler="x" * 10_240), "not a JSON Web Token"),
}


def changed_header(**changes: Any) -> str:
    """The token with another header and the old signature."""
    _, body, signature = token().split(".")
    return f"{encoded({'alg': 'RS256', 'typ': 'JWT', 'kid': 'first', **changes})}.{body}.{signature}"


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_of_an_ehr_is_refused_that_is(attack: str, ehrs: EhrTokens) -> None:
    made, why = ATTACKS[attack]
    with pytest.raises(TokenInvalid, match=why) as refused:
        ehrs.actor(f"Bearer {made()}")
    assert "eyJ" not in str(refused.value) and "evil" not in str(refused.value)


def test_a_token_without_a_key_id_is_refused_even_if_the_ehr_has_one_key_alone() -> None:
    with pytest.raises(TokenInvalid, match="kid"):
        verifier(KeyServer("first").fetch).actor(f"Bearer {without_kid()}")


def test_a_key_set_that_a_token_names_is_never_asked(ehrs: EhrTokens, server: KeyServer) -> None:
    with pytest.raises(TokenInvalid):
        ehrs.actor(f"Bearer {token('third', headers={'jku': 'https://evil.example/jwks.json'})}")
    assert server.asked == []


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic dXNlcjpwYXNz"])
def test_a_request_without_a_token_is_refused(ehrs: EhrTokens, header: str | None) -> None:
    assert not ehrs.names_one(header)
    with pytest.raises(TokenInvalid, match="no bearer token"):
        ehrs.actor(header)


def test_a_token_opens_once(ehrs: EhrTokens) -> None:
    once = f"Bearer {token()}"
    assert ehrs.actor(once).subject == ISSUER
    with pytest.raises(TokenInvalid, match="used before"):
        ehrs.actor(once)
    assert ehrs.actor(f"Bearer {token()}").subject == ISSUER


def test_the_same_id_in_another_token_is_a_token_used_before(ehrs: EhrTokens) -> None:
    assert ehrs.actor(f"Bearer {token(jti='a', exp=now() + 100)}")
    with pytest.raises(TokenInvalid, match="used before"):
        ehrs.actor(f"Bearer {token(jti='a', exp=now() + 200)}")


def test_a_token_that_was_refused_has_not_used_its_id(ehrs: EhrTokens) -> None:
    with pytest.raises(TokenInvalid, match="aud"):
        ehrs.actor(f"Bearer {token(jti='a', aud=BASE)}")
    with pytest.raises(TokenInvalid, match="signature"):
        ehrs.actor(f"Bearer {token(jti='a', key=private_key('third'))}")
    assert ehrs.actor(f"Bearer {token(jti='a')}").subject == ISSUER


def test_ids_are_an_issuers_own_and_are_forgotten_when_their_tokens_have_ended() -> None:
    seen = Seen()
    assert seen.is_new("one", "a", end=100, now=50) and seen.is_new("other", "a", end=200, now=50)
    assert not seen.is_new("one", "a", end=100, now=100)
    assert seen.is_new("one", "b", end=300, now=101)
    assert len(seen) == 2 and not seen.is_new("other", "a", end=200, now=150)


def test_an_id_is_kept_for_as_long_as_its_token_is_valid() -> None:
    """Clocks may differ: a token is accepted for some seconds after its end."""
    moment = time.time()
    ehrs = verifier(KeyServer("first").fetch, lambda: moment)
    once = f"Bearer {token(jti='a', iat=now() - 100, exp=now() - 3)}"
    assert ehrs.actor(once).subject == ISSUER
    with pytest.raises(TokenInvalid, match="used before"):
        ehrs.actor(once)


def test_without_the_ehrs_keys_nobody_is_let_in_and_nobody_called_a_liar(ehrs: EhrTokens, server: KeyServer) -> None:
    server.answer = ConnectionRefusedError("refused")
    with pytest.raises(IdentityUnavailable, match=ISSUER):
        ehrs.actor(f"Bearer {token()}")


@pytest.mark.parametrize("answer", [[], {}, {"keys": "none"}, {"keys": []}, ValueError("not JSON")])
def test_a_key_server_that_answers_something_else_is_unavailable(answer: Any) -> None:
    server = KeyServer()
    server.answer = answer
    with pytest.raises(IdentityUnavailable):
        verifier(server.fetch).actor(f"Bearer {token()}")


def test_a_shared_secret_in_the_key_set_verifies_nothing(ehrs: EhrTokens, server: KeyServer) -> None:
    server.answer["keys"].append({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"})
    with pytest.raises(TokenInvalid, match="kid"):
        ehrs.actor(f"Bearer {token('secret', key=private_key('first'))}")


def test_a_token_says_whose_it_is_before_it_is_checked(ehrs: EhrTokens) -> None:
    assert ehrs.names_one(f"Bearer {token(exp=1)}")
    assert not ehrs.names_one(f"Bearer {token(iss='https://login.example')}")
