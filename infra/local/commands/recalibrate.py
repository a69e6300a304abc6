"""`make recalibrate`: a version fitted to the class shares of one site, through the functions and the usual gate."""

from typing import Any

from infra.local.commands import history
from infra.local.commands.functions import invoke
from infra.local.settings import Settings
from infra.local.stack import NAME

TRAIN = f"{NAME}-train"
REPORT = f"{NAME}-report"


def recalibrate(
    settings: Settings, site: str, version: str | None, reason: str | None, by: str | None, *, other_sites: bool
) -> str:
    """Returns what became of the recalibrated version. Raises LocalError as `invoke` does."""
    who = by or history.user("recalibrates")
    request: dict[str, Any] = {"site": site} | ({"version": version} if version else {})
    made = invoke(settings, TRAIN, {"recalibrate": request})
    print(
        f"recalibrate version {made['recalibrated_from']} for the site {site}: run {made['mlflow_run_id']}", flush=True
    )
    run = {"model": made["model"], "mlflow_run_id": made["mlflow_run_id"]}
    event = {
        "data_kind": made["data_kind"],
        "models": [made["model"]],
        "candidates": [run],
        "by": who,
        "reason": reason,
        "other_sites": other_sites,
    }
    promotion = invoke(settings, history.FUNCTION, event)
    invoke(settings, REPORT, {"task": "plots", **run})
    invoke(settings, REPORT, {"task": "card", "data_kind": made["data_kind"], "promotion": promotion})
    serving = f"version {promotion['production_version']}" if promotion["production_version"] else "no version"
    return (
        f"Version {promotion['version']} {promotion['decision']}: {promotion['reason']}.\n"
        f"In production: {serving}. To see the decision: make history"
    )
