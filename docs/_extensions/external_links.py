"""Lists the links that leave the site. They are not fetched: CI has no internet."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

NAME = "external-links.txt"

_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}


def _write(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    found: dict[str, str] = {}
    for page in sorted(app.env.found_docs):
        for link in app.env.get_doctree(page).findall(nodes.reference):
            url = link.get("refuri", "")
            if url.startswith(("http://", "https://")) and "127.0.0.1" not in url:
                found.setdefault(url, page)
    file = Path(app.outdir) / NAME
    file.write_text("".join(f"{url}\t{page}\n" for url, page in sorted(found.items())))
    _log.info("%d external links, not fetched: see %s", len(found), file)
