"""Lists the links that leave the site, each with its page. They are not fetched: CI has no internet."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

NAME = "external-links.txt"


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
    lines = [f"{url}\t{page}\n" for url, page in sorted(found.items())]
    (Path(app.outdir) / NAME).write_text("".join(lines))
