"""The Swagger UI page of the API, with a Content-Security-Policy that allows only what the page needs."""

import base64
import re
from hashlib import sha256

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse


def page(title: str) -> HTMLResponse:
    """The page, which loads `openapi.json` from its own folder."""
    made = get_swagger_ui_html(openapi_url="openapi.json", title=title, swagger_favicon_url="data:,")
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(made.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    made.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src https://cdn.jsdelivr.net {hashes};"
        # Swagger UI sets inline styles.
        " style-src https://cdn.jsdelivr.net 'unsafe-inline'; img-src 'self' data:; font-src data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return made
