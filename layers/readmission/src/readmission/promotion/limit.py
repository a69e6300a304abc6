"""How many ledger entries one answer may list; apart from `ledger`, which needs the database driver."""

from typing import Any, Final

from readmission.errors import InvalidRequest

DEFAULT: Final = 20
LARGEST: Final = 1000  # keeps the answer below Lambda's 6 MB


def of_request(request: Any) -> int:
    """The limit in a JSON object `{"limit": n}`, `DEFAULT` without one. Raises `InvalidRequest`."""
    limit = request.get("limit", DEFAULT) if isinstance(request, dict) else None
    if type(limit) is not int or not 1 <= limit <= LARGEST:
        raise InvalidRequest(f"'history' must be an object whose 'limit' is a whole number from 1 to {LARGEST}")
    return limit
