"""URLs without their credentials, for errors, logs, manifests, results and pages."""

import re
from typing import Final

_HIDDEN: Final = "***"
_AUTHORITY_END: Final = re.compile(r"[/?#\\]")


def redacted(source: str) -> str:
    """The URL, or name of a data source, without user, password, and the values of its query: one may be a signature.

    Whatever is shown or recorded has URLs in this form only. Never raises, whatever the text.
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        scheme, rest = "", source
    if scheme.lower() == "s3" or source.partition(":")[0] == "synthetic":
        return source
    rest = _without_credentials(rest)
    address, mark, query = rest.partition("?")
    if mark:
        query = "&".join(f"{part.partition('=')[0]}={_HIDDEN}" if "=" in part else _HIDDEN for part in query.split("&"))
    else:
        address = address.partition("#")[0]
    return f"{scheme}{separator}{address}{mark}{query}"


def _without_credentials(rest: str) -> str:
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    # A password that contains a slash or a question mark is not in the authority. What should be the port is its start.
    is_broken = "@" not in authority and not authority.rpartition(":")[2].isdigit() and ":" in authority
    end = (rest if is_broken else authority).rfind("@")
    return rest if end < 0 else f"{_HIDDEN}{rest[end:]}"
