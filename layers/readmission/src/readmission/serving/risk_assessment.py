"""A forecast as a FHIR R4 RiskAssessment."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from readmission.ehr.found import Found

_OUTCOMES: Final = {
    "<30": "Readmission within 30 days",
    ">30": "Readmission after more than 30 days",
    "NO": "No readmission",
}


def document(answer: Mapping[str, Any], found: Found, patient: str, encounter: str, at: datetime) -> dict[str, Any]:
    """The RiskAssessment of a forecast, a `schemas.Prediction`, with what each field was read from as notes."""
    risk = answer["early_risk"]
    predictions = [
        {"outcome": {"text": text}, "probabilityDecimal": answer["probabilities"][name]}
        for name, text in _OUTCOMES.items()
    ]
    if risk["band"]:
        predictions[0] |= {"qualitativeRisk": {"text": risk["band"]}}
    if risk["percentile"] is not None:
        predictions[0] |= {"rationale": f"percentile {risk['percentile']:g} among the patients the model learned from"}
    notes = [f"{name} from {source}" for name, source in found.sources.items()] + found.notes
    if answer["data_kind"] != "real":
        notes.insert(0, "The model learned from synthetic data. Do not act on this forecast.")
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "identifier": [{"system": "urn:readmission:request", "value": answer["request_id"]}],
        "method": {"text": f"Model {answer['model_name']}, version {answer['model_version']}"},
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"reference": f"Encounter/{encounter}"},
        "occurrenceDateTime": at.isoformat(timespec="seconds"),
        "prediction": predictions,
        "note": [{"text": note} for note in notes],
    }
