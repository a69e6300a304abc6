"""The cards of the CDS Hooks service: what a clinician reads in the EHR.

The summary has the risk and nothing else of the patient, because an EHR may show it outside the patient's record.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

from readmission.ehr.found import Found
from readmission.http.problems import FieldError
from readmission.serving.schemas import DESCRIPTIONS

_SOURCE: Final = {"label": "Readmission forecast"}
_REASONS: Final = "urn:readmission:override-reasons"
OVERRIDE_REASONS: Final[Mapping[str, str]] = {
    "arranged": "The follow-up is arranged already",
    "declined": "The patient declines a follow-up",
    "disagree": "The risk does not fit this patient",
    "other": "Another reason",
}
_RAISING: Final = 5
_WARNS: Final = ("high", "very high")


def with_forecast(
    uuid: str, answer: Mapping[str, Any], fields: Mapping[str, Any], found: Found, page: str
) -> dict[str, Any]:
    """The card with a forecast, a `schemas.Prediction` for these fields."""
    risk = answer["early_risk"]
    band = f", {risk['band']} risk" if risk["band"] else ""
    suggestion = {"label": "Arrange a follow-up", "uuid": suggestion_of(uuid)}
    return {
        "uuid": uuid,
        "summary": f"Readmission within 30 days: {risk['probability']:.0%}{band}",
        "indicator": "warning" if risk["band"] in _WARNS else "info",
        "detail": "\n\n".join(_paragraphs(answer, fields, found)),
        "source": _SOURCE | ({"url": page} if page else {}),
        "suggestions": [suggestion],
        "selectionBehavior": "at-most-one",
        "overrideReasons": [
            {"code": code, "system": _REASONS, "display": display} for code, display in OVERRIDE_REASONS.items()
        ],
    } | _links(page)


def without_forecast(uuid: str, errors: Sequence[FieldError], page: str) -> dict[str, Any]:
    """The card that says why there is no forecast."""
    lines = "\n".join(f"- {_label(error.field)}: {_plain(error.message)}" for error in errors)
    return {
        "uuid": uuid,
        "summary": "No readmission forecast: not all that it needs is known",
        "indicator": "info",
        "detail": f"A forecast needs all of these, and nothing is assumed in their place:\n\n{lines}",
        "source": _SOURCE | ({"url": page} if page else {}),
    } | _links(page)


def suggestion_of(card: str) -> str:
    """The uuid of the one suggestion on the card with this uuid."""
    return str(uuid5(UUID(card), "follow-up"))


def _links(page: str) -> dict[str, Any]:
    return {"links": [{"label": "Open the forecast", "url": page, "type": "absolute"}]} if page else {}


def _paragraphs(answer: Mapping[str, Any], fields: Mapping[str, Any], found: Found) -> list[str]:
    risk = answer["early_risk"]
    than = ""
    if risk["percentile"] is not None:
        than = f", higher than that of {risk['percentile']:.0f} % of the patients the model learned from"
    paragraphs = [f"The risk of a readmission within 30 days is **{risk['probability']:.1%}**{than}."]
    if answer["data_kind"] != "real":
        paragraphs.append("**The model learned from synthetic data. Do not act on this forecast.**")
    contributions = (answer.get("explanation") and answer["explanation"].contributions) or ()
    raising = [one.field for one in contributions if one.direction == "raises"][:_RAISING]
    if raising:
        lines = "\n".join(f"- {_label(name)}: {_plain(str(fields[name]))}" for name in raising)
        paragraphs.append(f"What raises it most:\n\n{lines}")
    lines = "\n".join(f"- {_label(name)}: {_plain(source)}" for name, source in found.sources.items())
    paragraphs.append(f"Read from:\n\n{lines}")
    if history := answer.get("history"):
        paragraphs.append(f"Earlier stays of the patient: {history['status']}.")
    if found.notes:
        paragraphs.append("Not used:\n\n" + "\n".join(f"- {_plain(note)}" for note in found.notes))
    paragraphs.append(
        f"Model {answer['model_name']}, version {answer['model_version']}. It learned from patients with diabetes"
        " alone, forecasts from figures of the stay, and does not know the patient as you do."
    )
    return paragraphs


def _label(name: str) -> str:
    """What the field is, in words."""
    return DESCRIPTIONS.get(name, name).partition(". ")[0].rstrip(".").partition(":")[0]


def _plain(text: str) -> str:
    """Text of an EHR as it is, not as Markdown."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>#|!" else one for one in text.replace("\n", " "))
