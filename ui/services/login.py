"""Who uses the pages: Streamlit's own login with an OpenID Connect issuer, and what a person's roles allow.

The login is off unless PAGES_LOGIN is on: then everyone who reaches the pages may do everything, as on a laptop's
loopback. With the login on, nobody gets in whom the issuer has not named.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ui.services.configuration import NotConfigured

type Barrier = Literal["log_in", "expired", "no_role"]

_NAMES: Final = ("name", "preferred_username", "email", "sub")
_LONGEST_NAME: Final = 200


class InvalidSetting(NotConfigured):
    """An environment variable has a value that the pages do not know; `name` is its name."""


@dataclass(frozen=True, slots=True)
class Login:
    """The claim that holds a person's roles, the two roles, and how many hours a login lasts."""

    claim: str
    viewer: str
    operator: str
    hours: float


@dataclass(frozen=True, slots=True)
class Person:
    """Who uses the page. `name` is empty where there is no login; `token` is for the API, if the issuer gave one."""

    name: str = ""
    operates: bool = True
    token: str | None = field(default=None, repr=False)


def load(environment: Mapping[str, str] = os.environ) -> Login | None:
    """None without a login. Raises `InvalidSetting`."""
    switch = environment.get("PAGES_LOGIN") or "off"
    if switch not in ("on", "off"):
        raise InvalidSetting("PAGES_LOGIN")
    if switch == "off":
        return None
    return Login(
        claim=environment.get("PAGES_ROLES_CLAIM") or "roles",
        viewer=environment.get("PAGES_VIEWER_ROLE") or "viewer",
        operator=environment.get("PAGES_OPERATOR_ROLE") or "operator",
        hours=_hours(environment.get("PAGES_LOGIN_HOURS") or "8"),
    )


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24:
        raise InvalidSetting("PAGES_LOGIN_HOURS")
    return hours


def person(login: Login, claims: Mapping[str, Any], tokens: Mapping[str, str], now: float) -> Person | Barrier:
    """Who the claims of the identity token name, or what is in the way.

    `claims` are those of `st.user`, which Streamlit has checked; `now` is in seconds since 1970. Streamlit keeps a
    login for 30 days, so its age is checked here, by the time at which the issuer issued the token.
    """
    if claims.get("is_logged_in") is not True:
        return "log_in"
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or now - issued > login.hours * 3600:
        return "expired"
    name = _name(claims)
    roles = _roles(claims, login.claim)
    if not name or not roles & {login.viewer, login.operator}:
        return "no_role"
    return Person(name, login.operator in roles, tokens.get("access"))


def _roles(claims: Mapping[str, Any], claim: str) -> set[str]:
    """A list, or a text with spaces; `realm_access.roles` is the claim `roles` in the claim `realm_access`."""
    found: Any = claims
    for name in [claim] if claim in claims else claim.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return set(found.split())
    return {one for one in found if isinstance(one, str)} if isinstance(found, list | tuple) else set()


def _name(claims: Mapping[str, Any]) -> str:
    found = (claims.get(name) for name in _NAMES)
    return next((value.strip()[:_LONGEST_NAME] for value in found if isinstance(value, str) and value.strip()), "")
