"""`make find-patient` and `make erase`: what is stored of a patient, through the function `erase`."""

from typing import Any

from infra.local.commands.functions import invoke
from infra.local.commands.history import user
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table

FUNCTION = f"{NAME}-erase"
USED_FOR = {
    "train": "learned from the patient",
    "validation": "were tuned on the patient",
    "test": "were tested on the patient",
}


def find(settings: Settings, stack: Stack, patient: str, site: str) -> str:
    """What is stored of the patient. Raises LocalError as `invoke` does."""
    return _shown(invoke(settings, FUNCTION, {"find": {"patient": _number(patient), "site": site}}))


def erasure_request(patient: str, site: str, reason: str | None, by: str | None) -> dict[str, Any]:
    """The request to erase the patient, by default in the name of this machine's user.

    Raises LocalError without a reason.
    """
    if not (reason or "").strip():
        raise LocalError("An erasure needs a reason, which is recorded: make erase PATIENT=… SITE=… REASON='…'")
    return {"patient": _number(patient), "site": site, "reason": reason, "by": by or user("erases"), "confirm": True}


def erase(settings: Settings, stack: Stack, request: dict[str, Any], *, force: bool) -> str:
    """Deletes what is stored of the patient.

    Raises LocalError, with what there is to delete, without `force`; and as `invoke` does.
    """
    if not force:
        there = _shown(invoke(settings, FUNCTION, {"find": {name: request[name] for name in ("patient", "site")}}))
        raise LocalError(f"{there}\n\nNothing has been deleted. To delete all of it for good, add FORCE=1")
    found = invoke(settings, FUNCTION, {"erase": request})
    return (
        f"{_shown(found)}\n\nAll of this is deleted from the tables and the files, and later deliveries do not bring it"
        " back.\nModels keep what they learned: to replace them, run make pipeline START_AT=train"
    )


def _number(patient: str) -> int:
    if not (patient.isascii() and patient.isdecimal()):
        raise LocalError("PATIENT must be the patient's number, such as PATIENT=8222157")
    return int(patient)


def _shown(found: dict[str, Any]) -> str:
    lines = [("WHERE", "ROWS OF THE PATIENT")]
    lines += [(f"table {name}", f"{rows:,}") for name, rows in found["rows"].items()]
    lines += [(file["key"], f"{file['rows']:,}") for file in found["files"]]
    if found["exports"]:
        lines.append(("training/", f"{found['exports']:,} exports for training, which hold all patients"))
    if found["jobs"]:
        lines.append(("scoring/jobs/", f"{found['jobs']:,} files of scoring jobs, which may hold any patient"))
    return "\n".join([f"Site {found['site']}:", table(lines), *_notes(found)])


def _notes(found: dict[str, Any]) -> list[str]:
    notes = []
    if found["versions"]:
        notes.append(f"Model versions that {USED_FOR[found['split']]}: {', '.join(found['versions'])}")
    if found["uncertain"]:
        notes.append(f"Model versions of which MLflow does not say it: {', '.join(found['uncertain'])}")
    notes += [f"The source has the patient and is not ours to change: {source}" for source in found["elsewhere"]]
    notes += [f"This delivered file cannot be read, look at it yourself: {source}" for source in found["unreadable"]]
    notes += [
        f"This file was uploaded to be scored and is not searched, look at it: {key}" for key in found["to_score"]
    ]
    if erasure := found["erasure"]:
        ended = erasure["completed_at"]
        how = f"ended {ended[:19]}" if ended else "broke off: run make erase again"
        notes.append(f"Erased by {erasure['requested_by']} ({erasure['reason']}); {how}")
    return notes
