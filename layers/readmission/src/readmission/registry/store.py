"""Failures of the database behind an MLflow server, which MLflow reports as if the request were wrong (400)."""

import re
from typing import Final

# SQLSTATE classes and codes: connection, resources, operator intervention, serialization, deadlock.
_TRANSIENT: Final = re.compile(r"'C': '(?:08|53|57|40001|40P01)|\(pg8000\.[\w.]+\.InterfaceError\)")


def is_away(message: str) -> bool:
    """Whether MLflow's message says that its Postgres cannot be reached, starts or has no resources."""
    return _TRANSIENT.search(message) is not None
