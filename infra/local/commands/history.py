"""`make history` and `make rollback`: the promotion ledger and rollbacks, through the function `promote`."""

from typing import Any

from infra.local.commands.functions import invoke
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table
from infra.local.user import name as user_name

FUNCTION = f"{NAME}-promote"
NOTE = (
    "LOG LOSS is of VERSION and REPLACED is of the version it would replace, both on the same test rows of that time.\n"
    "The test rows change with every delivery: compare the two figures of a line, not those of different lines."
)


def history(settings: Settings, stack: Stack, limit: int) -> str:
    """The latest decisions as a table. Raises LocalError as `_invoke` does."""
    lines = _invoke(settings, stack, {"history": {"limit": limit}})
    if not lines:
        return "No model has been promoted or refused yet. To train and promote one: make pipeline"
    header = ("TIME (UTC)", "VERSION", "REPLACES", "DECISION", "BY", "LOG LOSS", "REPLACED", "TEST ROWS", "REASON")
    return f"{table([header, *map(_row, lines)])}\n\n{NOTE}"


def rollback_request(version: str | None, reason: str | None, by: str | None, *, force: bool) -> dict[str, Any]:
    """The request for a rollback, by default in the name of this machine's user.

    Raises LocalError without a reason or a name.
    """
    if not (reason or "").strip():
        raise LocalError("A rollback needs a reason, which goes into the promotion ledger: make rollback REASON='…'")
    return {"version": version, "reason": reason, "by": by or user("rolls back"), "force": force}


def rollback(settings: Settings, stack: Stack, request: dict[str, Any]) -> str:
    """Puts an earlier version (by default the previous one) into production. Raises LocalError as `_invoke` does."""
    result = _invoke(settings, stack, {"rollback": request})
    return (
        f"Version {result['version']} is in production again. It replaces version {result['previous_version']}.\n"
        "The API picks it up within seconds. To see the decision: make history"
    )


def user(does: str) -> str:
    """The name of this machine's user, who `does` something. Raises LocalError if there is none."""
    if not (found := user_name()):
        raise LocalError(f"This machine's user has no name. Say who {does}: BY=name")
    return found


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    when = line["decided_at"][:19].replace("T", " ")
    decision = f"{line['decision']}, forced" if line["forced"] else line["decision"]
    metrics = line["metrics"]
    losses = (_loss(metrics.get(name) or {}) for name in ("challenger", "incumbent"))
    rows = (metrics.get("test") or {}).get("rows")
    counted = "-" if rows is None else f"{rows:,}"
    who = line["decided_by"] or "-"
    return (when, line["version"], line["previous_version"] or "-", decision, who, *losses, counted, line["reason"])


def _loss(figures: dict[str, Any]) -> str:
    value = figures.get("log_loss")
    return "-" if value is None else f"{value:.4f}"


def _invoke(settings: Settings, stack: Stack, event: dict[str, Any]) -> Any:
    """The function's result. Raises LocalError with its error, or if it cannot be invoked."""
    return invoke(settings, FUNCTION, event)
