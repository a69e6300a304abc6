"""The person at this machine, as the ledger and executions name them."""

import getpass


def name() -> str | None:
    """The login name; None if this machine's user has none."""
    try:
        return getpass.getuser()
    except OSError:
        return None
