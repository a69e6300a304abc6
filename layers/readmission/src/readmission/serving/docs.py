"""The Swagger UI page of the API, with a Content-Security-Policy that allows only what the page needs.

Script and style come from the package fastapi-swagger, in the version of the lock file: the page needs no other server.
"""

import base64
import re
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response

from readmission.http.problems import Refused

_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"
_FILES: Final[Mapping[str, str]] = {_SCRIPT: "text/javascript", _STYLE: "text/css"}


def page(title: str) -> HTMLResponse:
    """The page, which loads `openapi.json` from its own folder and the files below `docs`."""
    made = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url=f"docs/{_SCRIPT}",
        swagger_css_url=f"docs/{_STYLE}",
        swagger_favicon_url="data:,",
    )
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(made.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    made.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {hashes};"
        # Swagger UI sets inline styles.
        " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return made


def file(name: str) -> Response:
    """A file that the page loads. Raises `Refused` (404) for another name."""
    if name not in _FILES:
        raise Refused(404, "There is no resource at this path")
    # Read for each request, because few requests are for the documentation and most instances get none.
    return Response(files("fastapi_swagger").joinpath("resources", name).read_bytes(), media_type=_FILES[name])
