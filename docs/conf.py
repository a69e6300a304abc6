"""Sphinx's settings for the documentation site. `make docs` builds it into `docs/_build/html`."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE / "_extensions"))
# autosummary reads the pages that it generated last time, and warns of modules that have since been renamed.
shutil.rmtree(HERE / "reference" / "generated", ignore_errors=True)

project = "Readmission forecast"
copyright = "2026, the contributors"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "external_links",
    "http_routes",
    "markdown_docstrings",
    "repository_links",
]
exclude_patterns = ["_build", "decisions/template.md"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
# Each page repeats the whole tree of contents: with every function in it, the build would take twice as long.
toc_object_entries = False

# Markdown pages. Links to headings use GitHub's anchors, so that they work there too.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Python API reference, generated from docstrings.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
add_module_names = False
python_use_unqualified_type_names = True

# References are checked (`sphinx-build -n`), except those to Python types: the inventories of other projects, which
# would resolve them, are on the internet.
nitpick_ignore_regex = [(r"py:.*", r".*")]
# Two modules may each have a class of one name; a type then links to the first.
suppress_warnings = ["ref.python"]
