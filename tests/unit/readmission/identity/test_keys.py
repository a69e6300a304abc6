"""When the issuer's keys are read, and what happens when it does not answer."""

from collections.abc import Callable
from typing import Any

import pytest
from readmission.errors import IdentityUnavailable
from readmission.identity.keys import AGAIN_SECONDS, DISCOVERY, FRESH_SECONDS, STALE_SECONDS, Keys

from tests.unit.readmission.identity.issuer import URL, Issuer, public_jwk


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer("first")


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> Keys:
    return Keys(URL, issuer.fetch, clock)


def found(keys: Keys, kid: str) -> bool:
    return keys.find(kid) is not None


def test_keys_are_read_once_and_kept(keys: Keys, issuer: Issuer) -> None:
    assert all(found(keys, "first") for _ in range(100))
    assert issuer.asked == [URL + DISCOVERY, f"{URL}/jwks"]


def test_old_keys_are_read_again(keys: Keys, issuer: Issuer, clock: Clock) -> None:
    assert found(keys, "first")
    issuer.publish("second")
    clock.now += FRESH_SECONDS + 1
    assert not found(keys, "first") and found(keys, "second")


def test_a_new_key_is_found_at_once(keys: Keys, issuer: Issuer, clock: Clock) -> None:
    assert found(keys, "first")
    issuer.publish("first", "second")
    clock.now += AGAIN_SECONDS + 1
    assert found(keys, "second")


def test_unknown_keys_do_not_make_it_ask_the_issuer_each_time(keys: Keys, issuer: Issuer, clock: Clock) -> None:
    assert found(keys, "first")
    clock.now += AGAIN_SECONDS + 1
    assert not any(found(keys, f"made up {number}") for number in range(100))
    assert len(issuer.asked) == 4


def test_known_keys_outlive_an_issuer_that_is_away(keys: Keys, issuer: Issuer, clock: Clock) -> None:
    assert found(keys, "first")
    issuer.go_away()
    clock.now += STALE_SECONDS - 1
    assert found(keys, "first")
    with pytest.raises(IdentityUnavailable, match="refused"):
        keys.find("second")
    clock.now += 2
    with pytest.raises(IdentityUnavailable, match="refused"):
        keys.find("first")


def test_an_issuer_that_is_away_is_asked_again_but_not_by_every_request(
    keys: Keys, issuer: Issuer, clock: Clock
) -> None:
    back = issuer.documents
    issuer.go_away()
    for _ in range(100):
        with pytest.raises(IdentityUnavailable):
            keys.find("first")
    assert len(issuer.asked) == 1
    issuer.documents = back
    clock.now += AGAIN_SECONDS + 1
    assert found(keys, "first")


def broken(change: Callable[[Issuer], None]) -> Issuer:
    issuer = Issuer("first")
    change(issuer)
    return issuer


def answers(url: str, document: Any) -> Callable[[Issuer], None]:
    def change(issuer: Issuer) -> None:
        issuer.documents[url] = document

    return change


JWKS = f"{URL}/jwks"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (answers(URL + DISCOVERY, []), "names another issuer"),
        (answers(URL + DISCOVERY, {"issuer": "https://evil.example", "jwks_uri": JWKS}), "names another issuer"),
        (answers(URL + DISCOVERY, {"issuer": URL}), "no jwks_uri"),
        (answers(URL + DISCOVERY, {"issuer": URL, "jwks_uri": "http://login.example/jwks"}), "no jwks_uri with https"),
        (answers(URL + DISCOVERY, {"issuer": URL, "jwks_uri": "file:///etc/passwd"}), "no jwks_uri with https"),
        (answers(JWKS, {"keys": "none"}), "no key set"),
        (answers(JWKS, {"keys": []}), "key"),
        (answers(JWKS, ValueError("not JSON")), "not JSON"),
    ],
)
def test_an_issuer_that_answers_something_else_is_unavailable(change: Callable[[Issuer], None], message: str) -> None:
    with pytest.raises(IdentityUnavailable, match=message):
        Keys(URL, broken(change).fetch).find("first")


def test_secrets_and_keys_for_encryption_are_no_keys_of_signatures() -> None:
    issuer = Issuer("first")
    issuer.documents[JWKS]["keys"] += [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        public_jwk("second", use="enc"),
    ]
    keys = Keys(URL, issuer.fetch)
    assert found(keys, "first") and not found(keys, "secret") and not found(keys, "second")
