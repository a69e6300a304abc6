"""Addresses of data sources on the web: which ones are valid, and where a request for them goes."""

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

# A host name, an IPv4 address, or an IPv6 address without its brackets.
_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """Where a request goes: `target` is the path with its query; `authorization` is the value of that header."""

    secure: bool
    host: str
    port: int
    target: str
    authorization: str | None

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def same_origin(self, other: "WebAddress") -> bool:
        """Whether both are on the same server, so that credentials for one may be sent to the other."""
        return (self.secure, self.host, self.port) == (other.secure, other.host, other.port)


def join(url: str, location: str) -> str:
    """The URL that a redirect from `url` to `location` leads to. Raises `ValueError`, as `parse` does."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise ValueError("it is not a valid URL") from None


def parse(url: str, *, allow_http: bool) -> WebAddress:
    """The parts of a URL. Raises `ValueError`, whose message says what is wrong and repeats nothing of the URL."""
    if not (url.isascii() and url.isprintable() and " " not in url):
        raise ValueError("a URL has no spaces, control characters or letters outside ASCII; percent-encode them")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("it is not a valid URL") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("it must start with https://")
    if parts.scheme == "http" and not allow_http:
        raise ValueError("it must start with https://, because AllowHttpSources is off")
    host = (parts.hostname or "").removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("it has no valid host name")
    path = parts.path or "/"
    return WebAddress(
        secure=parts.scheme == "https",
        host=host,
        port=_port(parts),
        target=f"{path}?{parts.query}" if parts.query else path,
        authorization=_authorization(parts),
    )


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return 443 if parts.scheme == "https" else 80
    if port == 0:
        raise ValueError("the port must be a number from 1 to 65535")
    return port


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(credentials.encode()).decode()}"
