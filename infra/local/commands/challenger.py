"""`make challenger`, `make abort-challenger` and `make replay`: versions tried on live or logged requests.

All of them ask the function `promote`.
"""

from typing import Any

from infra.local.commands.functions import invoke
from infra.local.commands.history import FUNCTION, user
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import table

_STAGES = {"shadowed": "shadows: it is asked too, and answers nobody", "canaried": "is a canary"}


def state(settings: Settings, stack: Stack) -> str:
    """The challenger and how it does. Raises LocalError if the function fails."""
    found = invoke(settings, FUNCTION, {"challenger": {}})
    if found is None:
        return "No version is tried on live requests. What was decided: make history"
    stage = _STAGES[found["decision"]]
    if found["decision"] == "canaried":
        stage += f": it answers {found['canary_share']:.0%} of the patients"
    needed = "-" if found["needed"] is None else f"{found['needed']:,}"
    rows = [
        ("version", found["version"]),
        ("beside", f"version {found['production_version']}, which serves"),
        ("stage", f"{stage}, since {found['since']}"),
        ("forecasts", f"{found['evidence']['forecasts']:,} logged of {needed} for the next step"),
        *_evidence(found),
        ("reason", found["reason"]),
        ("by", found["by"] or "-"),
    ]
    return f"{table(rows)}\n\nTo take it back: make abort-challenger REASON='…'"


def request(version: str, reason: str | None, by: str | None, *, force: bool) -> dict[str, Any]:
    """The request to try a version, by default in the name of this machine's user.

    Raises LocalError without a reason.
    """
    if not (reason or "").strip():
        raise LocalError(
            "A trial needs a reason, which goes into the promotion ledger:"
            f" make challenger VERSION={version} REASON='…'"
        )
    return {"version": version, "reason": reason, "by": by or user("tries a version"), "force": force}


def challenge(settings: Settings, stack: Stack, asked: dict[str, Any]) -> str:
    """Tries a version on live requests. Raises LocalError if the function refuses."""
    result = invoke(settings, FUNCTION, {"challenge": asked})
    return (
        f"Version {result['version']} is asked beside version {result['production_version']} within seconds."
        " It answers nobody yet.\nHow it does: make challenger"
    )


def abort_request(reason: str | None, by: str | None) -> dict[str, Any]:
    """The request to take the challenger back. Raises LocalError without a reason."""
    if not (reason or "").strip():
        raise LocalError("It needs a reason, which goes into the promotion ledger: make abort-challenger REASON='…'")
    return {"reason": reason, "by": by or user("withdraws the challenger")}


def abort(settings: Settings, stack: Stack, asked: dict[str, Any]) -> str:
    """Takes the challenger back. Raises LocalError if there is none."""
    result = invoke(settings, FUNCTION, {"abort": asked})
    return (
        f"Version {result['version']} is tried no more. Version {result['production_version']} answers all patients"
        " within seconds.\nTo see the decision: make history"
    )


def replay(settings: Settings, stack: Stack, version: str, rows: int | None) -> str:
    """What the version would have forecast for the logged requests. Raises LocalError if the function refuses."""
    found = invoke(settings, FUNCTION, {"replay": {"version": version, "limit": rows}})
    if not found["forecasts"] and not found["evidence"]["errors"]:
        return "No forecasts are logged. To log them: make deploy PARAMETERS=PredictionLog=on"
    answered = ", ".join(f"version {name}: {count:,}" for name, count in found["answered_by"].items())
    lines = [
        ("version", found["version"]),
        ("forecasts", f"{found['forecasts']:,}, answered by {answered}"),
        *_evidence(found),
        ("speed", f"{found['rows_per_second'] or 0:,} rows a second"),
    ]
    if found["inputs_not_logged"]:
        lines.append(("unknown", f"inputs that the log lacks: {', '.join(found['inputs_not_logged'])}"))
    return table(lines)


def _evidence(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures, of the version against what Production said of the same encounters."""
    evidence = found["evidence"]
    rows = [("errors", ", ".join(f"{name}: {count:,}" for name, count in evidence["errors"].items()) or "none")]
    if evidence["agreement"] is not None:
        rows.append(("agreement", f"the same class in {evidence['agreement']:.1%}"))
    if evidence["correlation"] is not None:
        rows.append(("ranks", f"correlation {evidence['correlation']:.3f}"))
    rows += [
        (f"mean {name}", f"{shift['value']:+.4f} [{shift['low']:+.4f}, {shift['high']:+.4f}]")
        for name, shift in evidence["shifts"].items()
    ]
    if losses := evidence["estimated"]:
        rows.append(("expected", f"log loss {losses['challenger']:.4f} against {losses['production']:.4f}"))
    if (losses := evidence["realised"]) and (difference := evidence["difference"]):
        rows.append(
            (
                "realised",
                f"log loss {losses['challenger']:.4f} against {losses['production']:.4f} over {evidence['labels']:,}"
                f" outcomes: {difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]",
            )
        )
    else:
        rows.append(("realised", f"{evidence['labels']:,} outcomes are known, too few to tell"))
    rows.append(("objection", found["objection"] or "none"))
    return rows
