"""The page that shows the OpenAPI document, with a policy that lets it load what it needs and nothing else."""

import base64
import re
from hashlib import sha256

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse


def page(title: str) -> HTMLResponse:
    """The page; it looks for the document beside itself."""
    made = get_swagger_ui_html(openapi_url="openapi.json", title=title, swagger_favicon_url="data:,")
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(made.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    made.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src https://cdn.jsdelivr.net {hashes};"
        # Swagger UI sets styles on its elements.
        " style-src https://cdn.jsdelivr.net 'unsafe-inline'; img-src 'self' data:; font-src data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return made
