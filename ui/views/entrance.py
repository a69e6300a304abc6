"""Who uses the page, and the login in front of the pages where there is one."""

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui.services import login
from ui.services.login import Person
from ui.texts import Texts


def user() -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The claims and the tokens of Streamlit's login."""
    claims = st.user.to_dict()
    tokens = st.user.tokens if claims.get("is_logged_in") else {}
    return claims, dict(tokens)


def person() -> Person:
    """Who uses the page: everybody, where there is no login.

    Raises `PermissionError` for a person who may not see the pages; `admits` has told them.
    """
    found = _found()
    if isinstance(found, str):
        raise PermissionError(found)
    return found


def admits(t: Texts) -> bool:
    """Whether the person may see the pages; if not, what is in the way is shown. Raises `InvalidSetting`."""
    found = _found()
    if isinstance(found, Person):
        if found.name:
            _signed_in(t, found)
        return True
    st.title(t("login.title"), anchor=False)
    st.markdown(t(f"login.{found}"))
    if found == "log_in":
        st.button(t("login.button"), type="primary", icon=":material/login:", on_click=st.login)
    else:
        st.button(t("login.again"), type="primary", icon=":material/logout:", on_click=st.logout)
    return False


def _found() -> Person | login.Barrier:
    settings = login.load()
    if settings is None:
        return Person()
    claims, tokens = user()
    return login.person(settings, claims, tokens, time.time())


def _signed_in(t: Texts, found: Person) -> None:
    with st.sidebar:
        st.caption(t("login.as", name=found.name, role=t("login.operator" if found.operates else "login.viewer")))
        st.button(t("login.out"), icon=":material/logout:", on_click=st.logout)
