"""`make logs`: follow what the servers write."""

import os
import sys
from typing import NoReturn

from infra.local.errors import LocalError
from infra.local.settings import Settings


def follow(settings: Settings, name: str | None) -> NoReturn:
    """Follows one server's log, or all of them. Replaces this process by `tail -F`, which survives log rotation.

    Raises LocalError if there is no such log.
    """
    available = sorted(log.stem for log in settings.logs.glob("*.log"))
    if not available:
        raise LocalError("There are no logs yet. Start the platform: make up")
    if name and name not in available:
        raise LocalError(f"There is no log named {name}. Available: {', '.join(available)}")
    chosen = [name] if name else available
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", "20", "-F", *(str(settings.log(one)) for one in chosen)])
