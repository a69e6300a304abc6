"""The pages in a browser, Debian's chromium, against the deployed application.

The pictures go into the folder SCREENSHOTS, or into pytest's temporary files.
"""

import csv
import io
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic

from tests import page_server
from tests.e2e.conftest import Application, Trained
from tests.platforms import free_ports
from ui.services import patients

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = ("", "patients", "worklist", "model", "over_time", "pipeline", "monitoring")
ROWS = 2500
PATIENCE_MILLISECONDS = 60_000
REPEATS = 5
type Picture = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def ui(application: Application, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages' URL, with the settings of `make ui`."""
    log = tmp_path_factory.mktemp("ui") / "streamlit.log"
    with page_server.running(page_server.variables(application.settings), log) as url:
        yield url
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Its cache spares the tests' pages fetching and compiling Streamlit's scripts each time."""
    # Without a graphics card, animations take processor time for as long as a page waits.
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    yield page
    page.close()


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """Takes a picture of the full height of a page that has finished rendering."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        _rest(page)
        size = page.viewport_size
        assert size
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 1800))})
        page.wait_for_timeout(300)
        picture = Image.open(io.BytesIO(page.screenshot()))
        # 256 colours, a third of the size; this method keeps the rare colours of charts.
        picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(
            folder / f"{name}.png", optimize=True
        )
        page.set_viewport_size(size)

    return take


def _rest(page: Page) -> None:
    """Waits until the script has finished and the charts are drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(400)


def _open(page: Page, url: str, name: str, language: str = "en") -> None:
    page.goto(f"{url}/{name}?lang={language}")
    page.get_by_role("heading", level=1).wait_for()


def _no_problem(page: Page) -> None:
    assert page.locator("[data-testid=stAlertContentError], [data-testid=stException]").all_inner_texts() == []


def test_the_first_paint_and_a_forecast_in_the_browser(
    ui: str, browser: Browser, picture: Picture, record_property: Callable[[str, object], None]
) -> None:
    paints, trips = [], []
    for _ in range(REPEATS):
        page = browser.new_page(viewport=DESKTOP)
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        began = time.perf_counter()
        _open(page, ui, "")
        paints.append(time.perf_counter() - began)
        page.close()
    page = browser.new_page(viewport=DESKTOP)
    _open(page, ui, "")
    page.get_by_role("button", name="Frequent stays").click()
    figure = page.locator(".risk-figure")
    figure.wait_for()
    _rest(page)
    picture(page, "patient")
    for turn in range(REPEATS + 1):
        before = figure.inner_text()
        name = ("Planned surgery", "Frequent stays")[turn % 2]
        # Measured in the page, without Playwright's overhead.
        trips.append(page.evaluate(TRIP, [name, before]) / 1000)
        _rest(page)
    _no_problem(page)
    page.close()
    measured = {
        "first paint, s": statistics.median(paints),
        "forecast in the browser, s": statistics.median(trips),
    }
    for name, value in measured.items():
        record_property(name, round(value, 3))
        print(f"{name}: {value:.3f}")


# From the click until the figure changes.
TRIP = """async ([name, before]) => {
  const button = [...document.querySelectorAll('button')].find(one => one.innerText.trim() === name);
  const began = performance.now();
  button.click();
  while (document.querySelector('.risk-figure')?.innerText === before) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


def test_what_if_changes_the_forecast_at_once(ui: str, page: Page) -> None:
    _open(page, ui, "")
    page.get_by_role("button", name="Frequent stays").click()
    expect(page.locator(".risk-figure")).to_be_visible()
    page.get_by_role("slider", name="Inpatient stays").press("ArrowLeft")
    expect(page.locator(".risk-change")).to_contain_text("Entered")
    _no_problem(page)


@pytest.mark.parametrize("chosen", ["493 · Asthma", "Look up what you typed"])
def test_a_diagnosis_is_found_by_its_name_chosen_or_typed(ui: str, page: Page, chosen: str) -> None:
    _open(page, ui, "")
    field = _typed(page, "asthma")
    page.get_by_role("option", name=chosen).click()
    expect(field).to_have_value("493 · Asthma")
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(page.locator(".risk-figure")).to_be_visible()
    expect(field).to_have_value("493 · Asthma")
    _no_problem(page)


def _typed(page: Page, text: str) -> Locator:
    field = page.get_by_role("combobox", name="Primary diagnosis")
    field.click()
    field.press_sequentially(text)
    return field


def test_a_typed_diagnosis_is_looked_up_at_once_and_never_guessed(ui: str, page: Page) -> None:
    _open(page, ui, "")
    field = _typed(page, "E11")
    field.press("Enter")
    alerts = page.locator("[data-testid=stAlertContentError]")
    expect(alerts).to_have_text(re.compile("looks like an ICD-10-CM code"))
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(alerts).to_have_count(2)
    expect(page.locator(".risk-figure")).to_have_count(0)
    _typed(page, "heart attack").press("Enter")
    page.get_by_role("radio", name="410 · Acute myocardial infarction").click()
    expect(field).to_have_value("410 · Acute myocardial infarction (heart attack)")
    _typed(page, "I50.9").press("Enter")
    expect(field).to_have_value("I50.9 (ICD-10-CM) · Heart failure, unspecified")
    _typed(page, "428.21").press("Enter")
    expect(page.locator("[data-testid=stCaptionContainer]", has_text="428.21 · Heart failure")).to_be_visible()
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(page.locator(".risk-figure")).to_be_visible()
    _no_problem(page)


def test_a_code_of_icd_10_is_found_by_its_name_and_chosen(ui: str, page: Page) -> None:
    _open(page, ui, "")
    field = _typed(page, "type 2 diabetes foot ulcer")
    field.press("Enter")
    expect(field).to_have_value("E11.621 (ICD-10-CM) · Type 2 diabetes mellitus with foot ulcer")
    _typed(page, "diabetes cataract").press("Enter")
    page.get_by_role("radio", name="E11.36 ·").click()
    expect(field).to_have_value("E11.36 (ICD-10-CM) · Type 2 diabetes mellitus with diabetic cataract")
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(page.locator(".risk-figure")).to_be_visible()
    _no_problem(page)


def test_a_spreadsheets_file_becomes_a_worklist_that_excel_opens(ui: str, page: Page) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([NAMES, *synthetic.rows(40, 7)])
    _open(page, ui, "patients", "es")
    file = {"name": "altas.csv", "mimeType": "text/csv", "buffer": text.getvalue().encode("cp1252")}
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Descargar todas las filas").wait_for()
    page.get_by_role("link", name="Lista de trabajo").click()
    download = page.get_by_role("button", name="Descargar la lista")
    download.wait_for()
    with page.expect_download() as taken:
        download.click()
    content = Path(taken.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and len(content.decode("utf-8-sig").splitlines()) > 20
    assert content.decode("utf-8-sig").startswith("Fila;Ingreso;Paciente;")
    _no_problem(page)


def test_the_risks_of_the_examples_rise(application: Application, trained: Trained, diabetes_data: Path | None) -> None:
    with application.client as client:
        forecasts = [client.predict(patients.encounter(values)) for values in patients.EXAMPLES.values()]
    risks = [forecast["early_risk"] for forecast in forecasts]
    assert [0 < risk["probability"] < 1 for risk in risks] == [True] * 3
    if diabetes_data:  # only real patients tell a model which of them return
        assert [risk["band"] for risk in (risks[0], risks[-1])] == ["low", "very high"]
        assert risks[0]["probability"] < risks[1]["probability"] < risks[2]["probability"]


def test_the_answer_comes_into_view_on_a_phone(ui: str, page: Page) -> None:
    page.set_viewport_size(PHONE)
    _open(page, ui, "")
    answer = page.locator(".risk-figure")
    for button in ("Frequent stays", "Forecast"):
        page.get_by_role("button", name=button, exact=True).click()
        expect(answer).to_be_in_viewport()
        _rest(page)
        expect(answer).to_be_in_viewport()
    _no_problem(page)


def test_a_file_is_scored_and_can_be_downloaded(ui: str, page: Page, picture: Picture) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([NAMES, *synthetic.rows(ROWS, 7)])
    _open(page, ui, "patients")
    file = {"name": "stays.csv", "mimeType": "text/csv", "buffer": text.getvalue().encode()}
    page.locator("input[type=file]").set_input_files(file)
    download = page.get_by_role("button", name="Download all rows")
    download.wait_for()
    with page.expect_download() as downloaded:
        download.click()
    lines = list(csv.DictReader(Path(downloaded.value.path()).read_text().splitlines()))
    risks = [float(line["early_risk"]) for line in lines if line["early_risk"]]
    assert len(lines) == ROWS and risks == sorted(risks, reverse=True)
    # Stays that ended in death or hospice care are not forecast.
    refused = [line["error"] for line in lines if line["error"]]
    assert len(risks) + len(refused) == ROWS
    assert all("readmission is not forecast" in error for error in refused)
    picture(page, "patients")
    _no_problem(page)


def test_the_model_page_shows_the_card_with_its_plots(ui: str, page: Page, picture: Picture) -> None:
    _open(page, ui, "model")
    page.get_by_text("Compare versions").wait_for()
    picture(page, "model")
    page.get_by_text("Model card", exact=True).click()
    plots = page.locator("[data-testid=stImage] img")
    expect(plots).to_have_count(5)
    assert all(plot.get_attribute("alt") for plot in plots.all())
    _no_problem(page)


def test_an_execution_is_started_and_followed_to_its_end(ui: str, page: Page, picture: Picture) -> None:
    _open(page, ui, "pipeline")
    page.get_by_role("radio", name="Synthetic").click()
    count = str(201 + int(time.time()) % 797)  # a source that no earlier execution had
    rows = page.get_by_role("spinbutton", name="Rows", exact=True)
    rows.fill(count)
    rows.press("Enter")
    _rest(page)
    page.get_by_role("combobox", name="Stop after").click()
    page.get_by_role("option", name="Ingest").click()
    _rest(page)
    page.get_by_role("button", name="Start", exact=False).last.click()
    lines = page.locator("[data-testid=stMarkdown]")
    expect(lines.filter(has_text=re.compile(rf"Ingest batches · 1 of 1 .* {count} rows"))).to_be_visible()
    expect(lines.filter(has_text="Succeeded")).to_be_visible()
    picture(page, "pipeline")
    _no_problem(page)


def test_monitoring_opens(ui: str, page: Page, picture: Picture) -> None:
    _open(page, ui, "monitoring")
    _rest(page)
    picture(page, "monitoring")
    _no_problem(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone_in_either_language(ui: str, page: Page, picture: Picture, name: str) -> None:
    page.set_viewport_size(PHONE)
    for language in ("en", "es"):
        _open(page, ui, name, language)
        if not name:
            page.get_by_role("button", name="Ingresos frecuentes" if language == "es" else "Frequent stays").click()
            page.locator(".risk-figure").wait_for()
        _rest(page)
        assert page.evaluate(
            "[...document.querySelectorAll('html, [data-testid=stMain]')].every(one => one.scrollWidth <= 390)"
        )
        picture(page, f"{name or 'patient'}-phone-{language}")
        _no_problem(page)


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(ui: str, page: Page, name: str) -> None:
    _open(page, ui, name)
    if not name:
        page.get_by_role("button", name="Frequent stays").click()
        page.locator(".risk-figure").wait_for()
    _rest(page)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_the_spanish_card_has_its_plots_as_charts(ui: str, page: Page) -> None:
    _open(page, ui, "model", "es")
    page.get_by_text("Ficha del modelo", exact=True).click()
    charts = page.locator("[data-testid=stExpander] [data-testid=stVegaLiteChart]")
    expect(charts).to_have_count(6)
    _no_problem(page)


def test_the_language_is_switched_on_the_page_and_stays(ui: str, page: Page) -> None:
    _open(page, ui, "")
    page.get_by_role("radio", name="Español").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Un paciente")
    page.get_by_role("link", name="Modelo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Modelo")
    assert page.url.endswith("lang=es")
    assert page.evaluate("document.documentElement.lang") == "es"


def test_an_unreachable_gateway_is_explained_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    variables = {"API_URL": f"http://127.0.0.1:{nobody}", "API_KEY": "k", "API_CA": ""}
    with page_server.running(variables, tmp_path / "streamlit.log") as url:
        page = browser.new_page()
        _open(page, url, "model")
        expect(page.get_by_text("make up").first).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        page.close()
