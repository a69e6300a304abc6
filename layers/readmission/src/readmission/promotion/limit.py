"""How many ledger entries one answer may list.

Apart from `ledger`, which needs the database driver, for functions whose layer does not have it.
"""

from typing import Any, Final

from readmission.errors import InvalidRequest

DEFAULT: Final = 20
LARGEST: Final = 1000  # keeps the answer below Lambda's 6 MB


def of_text(text: str) -> int:
    """The limit in a query string. Raises `InvalidRequest`."""
    # Check the length first: Python refuses to parse thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise _invalid()
    return _in_range(int(text))


def of_request(request: Any) -> int:
    """The limit in a JSON object `{"limit": n}`; `DEFAULT` without one. Raises `InvalidRequest`."""
    limit = request.get("limit", DEFAULT) if isinstance(request, dict) else None
    if type(limit) is not int:
        raise _invalid()
    return _in_range(limit)


def _in_range(limit: int) -> int:
    if not 1 <= limit <= LARGEST:
        raise _invalid()
    return limit


def _invalid() -> InvalidRequest:
    return InvalidRequest(f"'limit' must be a whole number from 1 to {LARGEST}")
