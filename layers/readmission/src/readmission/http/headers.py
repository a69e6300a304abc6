"""The security headers of every answer."""

from collections.abc import Mapping
from typing import Final

SECURITY: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
}
CONTENT_POLICY: Final = "Content-Security-Policy"
# For answers that do not set a policy of their own; /docs does.
DEFAULT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
