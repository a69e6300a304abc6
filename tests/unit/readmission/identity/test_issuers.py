"""Whose token it is: of an EHR, or of the OpenID Connect issuer."""

import pytest
from readmission.errors import TokenInvalid
from readmission.identity.issuers import Issuers
from readmission.identity.keys import Keys
from readmission.identity.tokens import Tokens
from readmission.settings import IdentitySettings

from tests.unit.readmission.identity import ehr
from tests.unit.readmission.identity.ehr import TRUST, KeyServer, verifier
from tests.unit.readmission.identity.issuer import AUDIENCE, URL, Issuer, token


def tokens() -> Tokens:
    return Tokens(IdentitySettings(URL, AUDIENCE), Keys(URL, Issuer("first").fetch))


@pytest.fixture
def both() -> Issuers:
    return Issuers(tokens(), verifier(KeyServer("first").fetch))


@pytest.fixture
def ehrs_alone() -> Issuers:
    return Issuers(None, verifier(KeyServer("first").fetch))


def test_each_token_is_checked_by_its_issuer(both: Issuers) -> None:
    assert both.actor(f"Bearer {token()}").kind == "token"
    assert both.actor(f"Bearer {ehr.token()}").kind == "ehr"


def test_a_token_of_an_ehr_is_not_of_a_person_even_with_the_claims_of_one(both: Issuers) -> None:
    """The EHR's key signs, but the issuer's does not."""
    pretended = ehr.token("third", sub="u-17", scope="predict operate", aud=[AUDIENCE, f"{ehr.BASE}/cds-services"])
    with pytest.raises(TokenInvalid, match="kid"):
        both.actor(f"Bearer {pretended}")
    signed = ehr.token(sub="u-17", scope="predict operate", aud=[AUDIENCE, f"{ehr.BASE}/cds-services"])
    actor = both.actor(f"Bearer {signed}")
    assert (actor.kind, actor.scopes) == ("ehr", {"predict"})


def test_without_ehrs_their_tokens_are_refused() -> None:
    with pytest.raises(TokenInvalid):
        Issuers(tokens(), None).actor(f"Bearer {ehr.token()}")


def test_with_ehrs_alone_a_persons_token_is_refused(ehrs_alone: Issuers) -> None:
    with pytest.raises(TokenInvalid, match="not trusted"):
        ehrs_alone.actor(f"Bearer {token()}")


def test_the_settings_say_whose_tokens_are_accepted() -> None:
    with pytest.raises(TokenInvalid, match="no bearer token"):
        Issuers.of(None, TRUST).actor(None)
    with pytest.raises(TokenInvalid, match="no bearer token"):
        Issuers.of(IdentitySettings(URL, AUDIENCE), None).actor(None)
    with pytest.raises(TokenInvalid, match="no issuer"):
        Issuers.of(None, None).actor(None)


def test_with_an_oidc_issuer_every_authorization_goes_before_a_key(both: Issuers) -> None:
    assert all(both.decides(header) for header in (f"Bearer {token()}", f"Bearer {ehr.token()}", "Basic dXNlcg=="))
    assert not both.decides(None)


def test_with_ehrs_alone_only_their_tokens_go_before_a_key(ehrs_alone: Issuers) -> None:
    assert ehrs_alone.decides(f"Bearer {ehr.token()}") and ehrs_alone.decides(f"Bearer {ehr.token(exp=1)}")
    assert not any(ehrs_alone.decides(header) for header in (None, f"Bearer {token()}", "Basic dXNlcg==", "Bearer a.b"))
