"""The Sphinx extensions of the site, and the list of packages in the Python reference."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.documents import DOCS, ROOT

PACKAGE = ROOT / "layers" / "readmission" / "src" / "readmission"


@pytest.fixture
def extension(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS / "_extensions"))
    spec = importlib.util.spec_from_file_location(request.param, DOCS / "_extensions" / f"{request.param}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("extension", ["markdown_docstrings"], indirect=True)
@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("A `code` span.", "A ``code`` span."),
        ("`code`s of last_ and *args, a|b", "``code``\\ s of last\\_ and \\*args, a\\|b"),
        ("Spans of `one\n    line break`.", "Spans of ``one\n    line break``."),
    ],
)
def test_docstrings_become_restructuredtext(extension: ModuleType, docstring: str, expected: str) -> None:
    assert extension.rst(docstring) == expected


@pytest.mark.parametrize("extension", ["repository_links"], indirect=True)
def test_a_link_to_an_included_file_leads_to_its_page(extension: ModuleType) -> None:
    root = Path("/repository")
    pages = {root / "README.md": root / "docs" / "index.md"}
    text = "[a](../README.md#start), [b](x.md), [c](https://example.org)"
    api = root / "docs" / "api.md"
    assert extension.rewrite(text, api, api, pages) == "[a](index.md#start), [b](x.md), [c](https://example.org)"


@pytest.mark.parametrize("extension", ["repository_links"], indirect=True)
def test_links_of_an_included_file_become_relative_to_the_page(extension: ModuleType) -> None:
    root = Path("/repository")
    readme, index = root / "README.md", root / "docs" / "index.md"
    text = "![picture](ui/patient.png) and [API](docs/api.md#errors)"
    expected = "![picture](../ui/patient.png) and [API](api.md#errors)"
    assert extension.rewrite(text, readme, index, {readme: index}) == expected


@pytest.mark.parametrize("extension", ["http_routes"], indirect=True)
def test_each_route_is_a_row_with_its_statuses(extension: ModuleType) -> None:
    document = {"paths": {"/health": {"get": {"description": "Healthy?", "responses": {"503": {}, "200": {}}}}}}
    assert extension.table(document)[-3:] == ["   * - ``GET /health``", "     - Healthy?", "     - 200, 503"]


def test_the_python_reference_lists_every_package_with_modules() -> None:
    listed = set(re.findall(r"^   (readmission[\w.]*)$", (DOCS / "reference" / "python.md").read_text(), re.MULTILINE))
    modules = [path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    top = {f"readmission.{path.stem}" for path in modules if path.parent == PACKAGE}
    packages = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in modules if path.parent != PACKAGE}
    assert listed == top | packages
