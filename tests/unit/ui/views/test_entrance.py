"""The pages where there is a login: who sees what."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from readmission.client import BearerToken, Client
from streamlit.testing.v1 import AppTest

from tests.unit.ui.fakes import Gateway
from tests.unit.ui.views.test_pages import Fakes, ask_to_roll_back, button, fakes, gateway, page_of, said
from ui.texts import Texts
from ui.views import entrance, page

__all__ = ["fakes", "gateway"]  # fixtures

APP = "../../../../ui/app.py"


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Streamlit's login, with these claims."""
    monkeypatch.setenv("PAGES_LOGIN", "on")

    def as_(**claims: Any) -> None:
        token = {"access": "token-of-ana"} if claims else {}
        found = {"is_logged_in": bool(claims), **claims}
        monkeypatch.setattr(entrance, "user", lambda: (found, token))

    return as_


def ana(role: str, issued: float | None = None) -> dict[str, Any]:
    return {"name": "Ana Ruiz", "sub": "u-17", "roles": [role], "iat": issued or time.time()}


def opened(language: str = "en") -> AppTest:
    app = AppTest.from_file(APP, default_timeout=30)
    app.query_params["lang"] = language
    return app.run()


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    ("claims", "barrier"), [({}, "log_in"), (ana("viewer", 1.0), "expired"), (ana("cleaner"), "no_role")]
)
@pytest.mark.usefixtures("fakes")
def test_who_may_not_see_the_pages_sees_why_and_nothing_else(
    gateway: Gateway, log_in: Callable[..., None], claims: dict[str, Any], barrier: str, language: str
) -> None:
    log_in(**claims)
    app = opened(language)
    t = Texts(language)
    assert not app.exception and [title.value for title in app.title] == [t("login.title")]
    assert t(f"login.{barrier}") in said(app)
    labels = {t("login.button") if barrier == "log_in" else t("login.again")}
    assert {one.label for one in app.button} == labels and gateway.predicted == []


@pytest.mark.usefixtures("gateway", "fakes")
def test_who_has_logged_in_sees_their_name_and_role(log_in: Callable[..., None]) -> None:
    log_in(**ana("viewer"))
    app = opened()
    assert app.title[0].value == "One patient" and "Ana Ruiz · viewer" in said(app)


@pytest.mark.usefixtures("gateway")
def test_viewers_neither_start_nor_roll_back(fakes: Fakes, log_in: Callable[..., None]) -> None:
    log_in(**ana("viewer"))
    t = Texts("en")
    for name, label in (("pipeline", "pipeline.start"), ("model", "model.roll_back_button")):
        app = page_of(name)
        assert t(label) not in [one.label for one in app.button] and t("login.operators_only") in said(app)
    assert fakes["lambda"].asked == []


@pytest.mark.usefixtures("gateway")
def test_operators_start_in_their_name(fakes: Fakes, log_in: Callable[..., None]) -> None:
    log_in(**ana("operator"))
    button(page_of("pipeline"), "Start").click().run()
    assert fakes["stepfunctions"].started[-1]["by"] == "Ana Ruiz"


@pytest.mark.usefixtures("gateway")
def test_operators_roll_back_in_their_name_and_no_other(fakes: Fakes, log_in: Callable[..., None]) -> None:
    log_in(**ana("operator"))
    app = page_of("model")
    assert "rollback_by" not in [one.key for one in app.text_input]
    app.text_input(key="rollback_reason").set_value("a complaint").run()
    app = button(app, "Roll back…").click().run()
    app.button(key="confirm_yes").click().run()
    assert fakes["lambda"].asked[0]["rollback"]["by"] == "Ana Ruiz"


@pytest.mark.usefixtures("gateway")
def test_who_is_no_operator_any_more_is_stopped_at_the_last_step(fakes: Fakes, log_in: Callable[..., None]) -> None:
    log_in()
    t = Texts("en")
    app = page_of("model")
    assert t("problem.not_allowed.what") in said(app) and fakes["lambda"].asked == []


@pytest.mark.usefixtures("gateway", "fakes")
def test_the_api_is_asked_in_the_name_of_the_person(
    log_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | BearerToken | None] = []

    class Recorder(Client):
        def __init__(self, url: str, api_key: str | BearerToken | None, **options: Any) -> None:
            asked.append(api_key)
            super().__init__(url, api_key, **options)

    monkeypatch.setattr(page, "Client", Recorder)
    log_in(**ana("viewer"))
    page_of("patient").button(key="example_frequent_stays").click().run()
    assert set(asked) == {BearerToken("token-of-ana")}


@pytest.mark.usefixtures("gateway", "fakes")
def test_an_unknown_setting_closes_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGES_LOGIN", "yes")
    app = opened()
    assert not app.title and "PAGES_LOGIN" in app.error[0].value


@pytest.mark.usefixtures("fakes")
def test_without_a_login_the_name_is_asked_for(gateway: Gateway) -> None:
    app = ask_to_roll_back(page_of("model"))
    assert "rollback_by" in [one.key for one in app.text_input]
