"""The directive `http-routes`: a table of the routes in an OpenAPI document, with their descriptions and statuses."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from markdown_docstrings import rst
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class HttpRoutes(SphinxDirective):
    """`.. http-routes:: path of the document, relative to the page`"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        _, file = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(file)
        document = json.loads(Path(file).read_text())
        node = nodes.container()
        self.state.nested_parse(StringList(table(document), file), 0, node)
        children: list[nodes.Node] = node.children
        return children


def table(document: dict[str, Any]) -> list[str]:
    """reStructuredText: a row for each method and path."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    rows = [("request", "", "statuses")]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            request = f"``{method.upper()} {path}``"
            rows.append((request, rst(operation["description"]), ", ".join(sorted(operation["responses"]))))
    for row in rows:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return lines


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("http-routes", HttpRoutes)
    return {"parallel_read_safe": True}
