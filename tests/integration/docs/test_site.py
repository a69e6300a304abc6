"""The site, built as `make docs` builds it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", folder / "doctrees", "docs", folder / "html"], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_every_module_is_in_the_python_reference(site: Path) -> None:
    package = ROOT / "layers" / "readmission" / "src" / "readmission"
    names = [path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py")]
    modules = {".".join(name.parts) for name in names if name.name not in ("__init__", "__main__")}
    text = "".join(page.read_text() for page in (site / "reference" / "generated").glob("*.html"))
    assert {name for name in modules if f'id="module-{name}"' not in text} == set()


def test_the_routes_of_the_contract_are_in_the_http_reference(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "http.html").read_text())
    assert "POST /predict/batch" in text


def test_the_readme_is_the_first_page(site: Path) -> None:
    assert "make demo" in (site / "index.html").read_text()


def test_external_links_are_listed(site: Path) -> None:
    assert "https://archive.ics.uci.edu/dataset/296\t" in (site / "external-links.txt").read_text()
