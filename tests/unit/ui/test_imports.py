"""What a new server imports before it shows its first page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ui import imports

ROOT = Path(__file__).parents[3]
_HEAVY = {"altair", "boto3", "pandas", "pyarrow"}
_FIRST = """
import json, sys
from streamlit.testing.v1 import AppTest
from ui import imports
imports.rest = lambda pages: None  # what follows the first page
app = AppTest.from_file("ui/app.py", default_timeout=300).run()
print(json.dumps([sorted(sys.modules), [one.value for one in app.title], len(app.exception)]))
"""


def test_the_first_page_is_shown_without_the_packages_that_take_long_to_import() -> None:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FIRST],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "API_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    modules, titles, exceptions = json.loads(found.stdout)
    assert len(titles) == 1 and exceptions == 0
    assert _HEAVY & set(modules) == set()


def test_the_rest_is_imported_once_and_every_page_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(imports, "import_module", imported.append)
    imports.rest.cache_clear()
    for _ in range(2):
        imports.rest(("patient", "model")).join()
    imports.rest.cache_clear()
    assert imported == ["pandas", "altair", "boto3", "ui.views.patient", "ui.views.model"]
