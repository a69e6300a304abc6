"""Who may use the pages, by the claims of their login."""

from typing import Any

import pytest

from ui.services.login import InvalidSetting, Login, Person, load, person

NOW = 1_800_000_000.0
LOGIN = Login("roles", "viewer", "operator", 8)
ANA = {"is_logged_in": True, "sub": "u-17", "name": "Ana Ruiz", "iat": NOW - 60, "roles": ["viewer"]}


def found(login: Login = LOGIN, tokens: dict[str, str] | None = None, **changes: Any) -> Any:
    return person(login, ANA | changes, tokens or {}, NOW)


def test_viewers_see_and_operators_operate() -> None:
    assert found() == Person("Ana Ruiz", operates=False)
    assert found(roles=["operator"]) == found(roles=["viewer", "operator"]) == Person("Ana Ruiz", operates=True)


@pytest.mark.parametrize("claims", [{}, {"is_logged_in": False}, {"is_logged_in": "yes", "iat": NOW}])
def test_who_has_not_logged_in_is_nobody(claims: dict[str, Any]) -> None:
    assert person(LOGIN, claims, {}, NOW) == "log_in"


@pytest.mark.parametrize("issued", [NOW - 8 * 3600 - 1, None, "yesterday"])
def test_a_login_ends(issued: Any) -> None:
    assert found(iat=issued) == "expired"


@pytest.mark.parametrize("roles", [None, [], "", "admin", ["Operator"], [["operator"]], {"operator": True}, 7])
def test_who_has_no_role_does_not_get_in(roles: Any) -> None:
    assert found(roles=roles) == "no_role"


def test_a_login_without_a_name_does_not_get_in() -> None:
    assert found(name=None, sub=" ") == "no_role"


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("groups", {"groups": ["staff", "operator"]}),
        ("scope", {"scope": "openid operator"}),
        ("realm_access.roles", {"realm_access": {"roles": ["operator"]}}),
        ("https://hospital.example/roles", {"https://hospital.example/roles": ["operator"]}),
    ],
)
def test_roles_are_where_issuers_put_them(claim: str, claims: dict[str, Any]) -> None:
    assert found(Login(claim, "viewer", "operator", 8), **claims).operates


def test_the_token_is_for_the_api_and_never_shown() -> None:
    ana = found(tokens={"access": "eyJ-secret"})
    assert ana.token == "eyJ-secret" and "secret" not in repr(ana)


def test_without_the_setting_there_is_no_login() -> None:
    assert load({}) is None and load({"PAGES_LOGIN": "off"}) is None
    assert load({"PAGES_LOGIN": "on"}) == LOGIN
    given = {"PAGES_ROLES_CLAIM": "groups", "PAGES_VIEWER_ROLE": "ward", "PAGES_OPERATOR_ROLE": "data"}
    assert load({"PAGES_LOGIN": "on", "PAGES_LOGIN_HOURS": "0.5", **given}) == Login("groups", "ward", "data", 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PAGES_LOGIN", "yes"), *(("PAGES_LOGIN_HOURS", value) for value in ("0", "-1", "25", "nan", "inf", "eight"))],
)
def test_a_setting_that_is_not_known_is_not_taken_for_off(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load({"PAGES_LOGIN": "on", name: value})
    assert refused.value.name == name
