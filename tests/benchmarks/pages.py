"""The pages in Debian's chromium: the first page of a new server, and the way from each page to the next.

All times are the browser's own, from the start of a navigation or a click until the page's heading is there.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from tests import chromium, page_server
from tests.benchmarks import deployment
from tests.benchmarks.report import PAGES, Figure
from tests.platforms import Platform

# Without a graphics card, animations would take processor time that no viewer waits for.
_VIEW = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
_MILLISECONDS = 120_000
# Notes when the first heading is there, in ms since the start of the navigation.
_WATCH = """new MutationObserver((_, observer) => {
  if (document.querySelector('h1')) { window.headingAt = performance.now(); observer.disconnect(); }
}).observe(document, {childList: true, subtree: true});"""
# From the click on a link of the navigation until the heading is another one, and until the page's script has ended.
_CHANGE = """async place => {
  const heading = () => document.querySelector('h1')?.innerText, before = heading(), began = performance.now();
  document.querySelectorAll('[data-testid=stSidebarNavLink]')[place].click();
  while (!heading() || heading() === before) await new Promise(requestAnimationFrame);
  const shown = performance.now() - began;
  while (!document.querySelector('[data-test-script-state=notRunning]')) await new Promise(requestAnimationFrame);
  return [shown, performance.now() - began];
}"""


def measure(platform: Platform, folder: Path, rounds: int) -> dict[str, Figure]:
    """Needs chromium, and a model in Production; trains one if there is none. Raises SystemExit without chromium."""
    program = chromium.program()
    if program is None:
        raise SystemExit(chromium.MISSING)
    deployment.serve_a_model(platform)
    variables, log = page_server.variables(platform.settings), folder / "streamlit.log"
    first: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*chromium.FLAGS])
        for number in range(rounds):
            deployment.tell(f"the first page of a new server, {number + 1} of {rounds} ...")
            with page_server.running(variables, log) as url:
                first.append(_first(browser, url))
        with page_server.running(variables, log) as url:
            again = [_first(browser, url) for _ in range(rounds + 1)][1:]
            deployment.tell("from page to page ...")
            shown, whole = _changes(browser, url, rounds)
    return {
        "pages_first": Figure(median(first) / 1000),
        "pages_again": Figure(median(again) / 1000),
        "pages_change": Figure(max(shown), of=tuple(shown)),
        "pages_whole": Figure(max(whole), of=tuple(whole)),
    }


def _first(browser: Browser, url: str) -> float:
    """Milliseconds until the heading, in a browser that has not been there before."""
    context = browser.new_context(**_VIEW)
    page = context.new_page()
    page.set_default_timeout(_MILLISECONDS)
    page.add_init_script(_WATCH)
    page.goto(url)
    page.wait_for_function("window.headingAt")
    found: float = page.evaluate("window.headingAt")
    context.close()
    return found


def _changes(browser: Browser, url: str, rounds: int) -> tuple[Sequence[float], Sequence[float]]:
    """Milliseconds until the heading of each page, and until its script has ended: medians, after one that warms up."""
    context = browser.new_context(**_VIEW)
    page: Page = context.new_page()
    page.set_default_timeout(_MILLISECONDS)
    page.goto(url)
    page.get_by_role("heading", level=1).wait_for()
    assert page.locator("[data-testid=stSidebarNavLink]").count() == len(PAGES)
    found: list[list[tuple[float, float]]] = []
    for _ in range(rounds + 1):
        # The first page is the last, because the browser is already there.
        found.append([page.evaluate(_CHANGE, (place + 1) % len(PAGES)) for place in range(len(PAGES))])
    context.close()
    by_page = list(zip(*found[1:], strict=True))
    return [median(one[0] for one in page) for page in by_page], [median(one[1] for one in page) for page in by_page]
