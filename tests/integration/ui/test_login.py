"""The login to the pages in a browser, with a real issuer."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import page_server
from tests.oidc import Issuer, issuer
from tests.platforms import free_ports

PATIENCE_MILLISECONDS = 60_000
CLIENT = "pages"


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as started:
        started.person("ana", name="Ana Ruiz", roles=["viewer", "operator"])
        started.person("eva", name="Eva Mora", roles="viewer")
        started.person("tom", name="Tom Hill", roles=["guest"])
        yield started


@pytest.fixture(scope="module")
def pages(oidc: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages' URL. They reach no API: who has logged in sees that, who has not sees nothing."""
    (port,) = free_ports(1)
    url, folder = f"http://localhost:{port}", tmp_path_factory.mktemp("pages")
    secrets = folder / "secrets.toml"
    secrets.write_text(
        "[auth]\n"
        f'redirect_uri = "{url}/oauth2callback"\n'
        'cookie_secret = "a long random text for the test"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "any"\n'
        f'server_metadata_url = "{oidc.url}/.well-known/openid-configuration"\n'
        'client_kwargs = { scope = "openid profile" }\n'
        'expose_tokens = ["access"]\n'
    )
    variables = {"PAGES_LOGIN": "on", "API_URL": "http://127.0.0.1:1", "AWS_DEFAULT_REGION": "us-east-1"}
    with page_server.running(variables, folder / "log", "--secrets.files", str(secrets), port=port):
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """In a browser of somebody who has not been here before."""
    context: BrowserContext = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    yield page
    context.close()


def _log_in(page: Page, url: str, subject: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("button", name="Authorize", exact=True).click()


@pytest.mark.parametrize(("subject", "shown"), [("ana", "Ana Ruiz"), ("eva", "Eva Mora")])
def test_a_person_with_a_role_logs_in_and_out_again(pages: str, page: Page, subject: str, shown: str) -> None:
    _log_in(page, pages, subject)
    expect(page.get_by_test_id("stSidebar")).to_contain_text(shown)
    expect(page.get_by_role("button", name="Forecast", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("stSidebar")).to_contain_text(shown)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click()  # the issuer's
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_role("button", name="Forecast", exact=True)).to_have_count(0)


def test_the_role_is_what_the_issuer_says(pages: str, page: Page) -> None:
    _log_in(page, pages, "eva")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("viewer")
    page.context.clear_cookies()
    _log_in(page, pages, "ana")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("operator")


def test_a_person_without_a_role_sees_nothing(pages: str, page: Page) -> None:
    _log_in(page, pages, "tom")
    expect(page.get_by_role("button", name="Log in with another account")).to_be_visible()
    expect(page.get_by_role("button", name="Forecast", exact=True)).to_have_count(0)
