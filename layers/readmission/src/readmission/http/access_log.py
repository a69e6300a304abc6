"""The log line of a request."""

from time import perf_counter
from typing import Final

from readmission.telemetry.metrics import OTHER, ROUTES

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def access_line(method: str, path: str, status: int, start: float) -> dict[str, object]:
    """What is logged of a request that began at `start` (`perf_counter`).

    Unknown methods and paths are logged as "other", because they may contain patient data.
    """
    return {
        "method": method if method in _METHODS else OTHER,
        "route": path if path in ROUTES else OTHER,
        "status": status,
        "duration_ms": round((perf_counter() - start) * 1000, 3),
    }
