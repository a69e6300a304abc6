"""The form's values as the fields of an encounter, and three example patients."""

from collections.abc import Mapping
from typing import Any, Final

from readmission.domain.contract import DRUGS
from readmission.domain.features import DOSED

from ui.services import diagnoses

NOT_GIVEN: Final = "No"
DOSES: Final = (NOT_GIVEN, "Steady", "Up", "Down")
AGES: Final = tuple(range(5, 100, 10))  # midpoints of UCI's age bands
OTHER_DRUGS: Final = len(DRUGS) - len(DOSED)

# The codes of stays that can be forecast; None means unknown.
ADMISSION_TYPES: Final = (None, 1, 2, 3, 7)
ADMISSION_SOURCES: Final = (None, 7, 1, 2, 3, 4, 5, 6, 8, 10, 18, 19, 22, 25)
DISCHARGES: Final = (None, 1, 6, 3, 22, 4, 5, 2, 23, 15, 24, 28, 27, 29, 30, 8, 7, 12, 16, 17)
SPECIALTIES: Final = (
    None,
    "InternalMedicine",
    "Emergency/Trauma",
    "Family/GeneralPractice",
    "Cardiology",
    "Endocrinology",
    "Gastroenterology",
    "Hematology/Oncology",
    "Nephrology",
    "Neurology",
    "ObstetricsandGynecology",
    "Oncology",
    "Orthopedics",
    "Otolaryngology",
    "PhysicalMedicineandRehabilitation",
    "Podiatry",
    "Psychiatry",
    "Pulmonology",
    "Radiologist",
    "Surgery-General",
    "Surgery-Cardiovascular/Thoracic",
    "Surgery-Neuro",
    "Surgery-Vascular",
    "Urology",
)
DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")
HISTORY: Final = ("prior_encounters", "prior_early_readmissions", "prior_days_in_hospital")
WHOSE: Final = ("patient_nbr", "encounter_id", "site")  # by which the API looks up the history

DEFAULTS: Final[dict[str, Any]] = {
    "age_numeric": 65,
    "time_in_hospital": 4,
    "num_lab_procedures": 44,
    "num_procedures": 1,
    "num_medications": 15,
    "number_outpatient": 0,
    "number_emergency": 0,
    "number_inpatient": 0,
    "number_diagnoses": 8,
    "max_glu_serum_encoded": 0,
    "a1cresult_encoded": 0,
    "admission_type_id": 1,
    "discharge_disposition_id": 1,
    "admission_source_id": 7,
    "medical_specialty": None,
    "diag_1": "428",
    "diag_2": "250",
    "diag_3": "401",
    **dict.fromkeys(DOSED, NOT_GIVEN),
    "metformin": "Steady",
    "other_drugs": 0,
    "medication_changed": False,
    **dict.fromkeys(HISTORY, None),
    **dict.fromkeys(WHOSE, None),
}
# Named by what is known of the patients, not by a band of risk: that depends on the model in production.
EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "planned_surgery": DEFAULTS
    | {
        "age_numeric": 45,
        "time_in_hospital": 2,
        "num_lab_procedures": 35,
        "num_procedures": 2,
        "num_medications": 10,
        "number_diagnoses": 5,
        "a1cresult_encoded": 1,
        "admission_type_id": 3,
        "admission_source_id": 1,
        "medical_specialty": "Surgery-General",
        "diag_1": "574",
        "diag_3": "278",
    },
    "heart_failure": DEFAULTS
    | {
        "age_numeric": 75,
        "time_in_hospital": 5,
        "num_medications": 17,
        "number_outpatient": 1,
        "number_inpatient": 1,
        "discharge_disposition_id": 6,
        "medical_specialty": "Cardiology",
        "diag_1": "428",
        "diag_2": "250.02",
        "diag_3": "414",
        "insulin": "Steady",
        "glipizide": "Up",
        "medication_changed": True,
    },
    "frequent_stays": DEFAULTS
    | {
        "age_numeric": 75,
        "time_in_hospital": 9,
        "num_lab_procedures": 61,
        "num_medications": 24,
        "number_emergency": 2,
        "number_inpatient": 4,
        "number_diagnoses": 9,
        "a1cresult_encoded": 3,
        "discharge_disposition_id": 22,
        "medical_specialty": "InternalMedicine",
        "diag_1": "428",
        "diag_2": "585",
        "diag_3": "250.4",
        "insulin": "Up",
        "metformin": "No",
        "medication_changed": True,
        "prior_encounters": 4,
        "prior_early_readmissions": 2,
        "prior_days_in_hospital": 27,
    },
}


def encounter(values: Mapping[str, Any]) -> dict[str, Any]:
    """The API's request: the 14 required fields and the known optional ones."""
    doses = [values[drug] for drug in DOSED]
    given = sum(dose != NOT_GIVEN for dose in doses) + values["other_drugs"]
    derived: dict[str, Any] = {
        "change_encoded": int(values["medication_changed"]),
        "diabetesmed_encoded": int(given > 0),
        "num_diabetes_meds": given,
        "num_doses_up": doses.count("Up"),
        "num_doses_down": doses.count("Down"),
    }
    entered = {name: value for name, value in values.items() if name not in ("other_drugs", "medication_changed")}
    entered["site"] = values["site"] or None  # the form's text field is empty
    derived |= diagnoses.sent({name: values[name] for name in DIAGNOSES if values[name]})
    return {name: value for name, value in (entered | derived).items() if value is not None}
