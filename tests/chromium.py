"""Debian's chromium, for tests and benchmarks of the pages."""

import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = "there is no chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"


def program() -> str | None:
    """Its path, or None if it is not installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)
