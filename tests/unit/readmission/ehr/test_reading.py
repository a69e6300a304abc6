"""Stays that say what rows of the contract say are read as the fields of these rows."""

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from readmission.domain.contract import DRUGS
from readmission.domain.features import FEATURES, features_of
from readmission.ehr.found import Found
from readmission.ehr.reading import Identifiers, Stay, read
from readmission.serving.encounters import encounter_of

from tests import fhir_stays
from tests.fhir_stays import NOW, bundle, rows, stay_of

NUMBERS = Identifiers("urn:hospital:patient", "urn:hospital:stay")
ROWS = rows(100)


def found_in(made: fhir_stays.Stay, identifiers: Identifiers = NUMBERS, **prefetch: Any) -> Found:
    """What is read of the prefetch, some of whose keys are replaced; `...` leaves one out."""
    sent = {key: value for key, value in (made.prefetch() | prefetch).items() if value is not ...}
    return read(Stay.of_prefetch(sent, made.patient["id"], made.encounter["id"]), NOW, identifiers)


@pytest.mark.parametrize("row", ROWS, ids=[row["encounter_id"] for row in ROWS])
def test_a_stay_is_read_as_the_row_that_says_the_same(row: dict[str, str]) -> None:
    made = stay_of(row)
    for resource in [*made.resources(), *made.prefetch().values()]:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    found = found_in(made)
    changed = any(row[drug] in ("Up", "Down") for drug in DRUGS)
    expected = features_of(row) | {"change_encoded": int(changed)}
    expected["diabetesmed_encoded"] = int(expected["num_diabetes_meds"] > 0)
    expected["number_diagnoses"] = len({one["code"]["coding"][0]["code"] for one in made.conditions})
    expected["num_medications"] = max(expected["num_medications"], expected["num_diabetes_meds"])
    assert (found.missing, found.conflicting) == ({}, {})
    assert {name: found.fields[name] for name in FEATURES} == expected
    assert found.sources.keys() == found.fields.keys()
    assert (found.fields["patient_nbr"], found.fields["encounter_id"]) == (
        int(row["patient_nbr"]),
        int(row["encounter_id"]),
    )
    asked = encounter_of(found.fields)
    assert asked.fields["diag_1"] == (row["diag_1"] if row["diag_1"] != "?" else asked.fields["diag_1"])


def test_the_numbers_of_patient_and_stay_need_a_system_that_is_named() -> None:
    assert not {"patient_nbr", "encounter_id"} & found_in(stay_of(ROWS[0]), Identifiers()).fields.keys()


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("encounters", ["number_outpatient", "number_emergency", "number_inpatient"]),
        ("conditions", ["number_diagnoses"]),
        ("medications", ["num_medications", "change_encoded", "diabetesmed_encoded", "num_diabetes_meds"]),
        ("laboratory", ["num_lab_procedures", "max_glu_serum_encoded", "a1cresult_encoded"]),
        ("procedures", ["num_procedures"]),
    ],
)
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (..., "no prefetch"),
        (None, "is null"),
        ("x", "is not a resource"),
        ({"resourceType": "Patient"}, "is not of"),
        (bundle([], total=3), "has 0 of 3"),
        (bundle([], link=[{"relation": "next", "url": "https://ehr.example/2"}]), "one page of several"),
        (
            bundle([{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}]),
            "the EHR failed",
        ),
    ],
    ids=["missing", "null", "no resource", "of another kind", "incomplete", "a page", "an error"],
)
def test_what_the_ehr_does_not_answer_in_full_is_unknown(key: str, fields: list[str], value: Any, why: str) -> None:
    found = found_in(stay_of(ROWS[0]), **{key: value})
    assert sorted(found.missing) == sorted(fields)
    assert all(why in found.missing[name] for name in fields)
    assert not found.fields.keys() & set(fields)


def test_an_empty_bundle_is_an_answer() -> None:
    empty = dict.fromkeys(("encounters", "conditions", "medications", "laboratory", "procedures"), bundle([]))
    found = found_in(stay_of(ROWS[0]), **empty)
    assert found.missing == {}
    counts = {name: found.fields[name] for name in FEATURES if name not in ("age_numeric", "time_in_hospital")}
    assert set(counts.values()) == {0}


def test_a_resource_of_another_patient_makes_its_kind_unknown() -> None:
    made = stay_of(ROWS[0])
    made.procedures = [{"resourceType": "Procedure", "id": "x", "subject": {"reference": "Patient/other"}}]
    assert found_in(made).missing == {"num_procedures": "Procedure/x is of another patient"}
    found = found_in(made, patient={**made.patient, "id": "other"}, procedures=bundle([]))
    assert found.missing == {"age_numeric": "Patient/other is of another patient"}


def test_another_admission_than_the_one_asked_about_is_refused_with_both() -> None:
    made = stay_of(ROWS[0])
    found = found_in(made, encounter={**made.encounter, "id": "other"})
    assert found.fields == {} and found.missing.keys() == set(FEATURES)
    for name in (f"Encounter/{made.encounter['id']}", "Encounter/other"):
        assert name in found.missing["age_numeric"]
    found = found_in(made, encounter=bundle([made.encounter, {**made.encounter}]))
    assert "several Encounters" in found.conflicting["age_numeric"]


def test_a_resource_of_another_stay_does_not_count() -> None:
    made = stay_of(ROWS[0])
    made.procedures = [
        {"resourceType": "Procedure", "id": f"p{number}", "encounter": {"reference": f"Encounter/{encounter}"}}
        for number, encounter in enumerate([made.encounter["id"], "another"])
    ]
    assert found_in(made).fields["num_procedures"] == 1


def test_in_a_bundle_of_everything_what_is_absent_is_unknown_unless_it_is_said_to_be_none() -> None:
    made = stay_of(ROWS[0])
    made.procedures = []
    whole = bundle(list(made.resources()), "collection")
    ids = made.patient["id"], made.encounter["id"]
    found = read(Stay.of_bundle(whole, *ids, frozenset()), NOW, NUMBERS)
    assert list(found.missing) == ["num_procedures"]
    found = read(Stay.of_bundle(whole, *ids, frozenset({"Procedure"})), NOW, NUMBERS)
    assert (found.missing, found.fields["num_procedures"]) == ({}, 0)


def test_in_a_bundle_a_resource_says_of_which_stay_it_is() -> None:
    made = stay_of(ROWS[0])
    made.procedures = [{"resourceType": "Procedure", "id": "x", "status": "completed"}]
    whole = bundle(list(made.resources()), "collection")
    found = read(Stay.of_bundle(whole, made.patient["id"], made.encounter["id"], frozenset()), NOW, NUMBERS)
    assert found.missing == {"num_procedures": "Procedure/x does not say of which stay it is"}


@pytest.mark.parametrize("junk", [7, "x", [], {}, [None], {"resourceType": 3}, {"resourceType": "Bundle", "entry": 5}])
def test_no_shape_of_json_is_an_error(junk: Any) -> None:
    made = stay_of(ROWS[0])
    for key in made.prefetch():
        found_in(made, **{key: junk})
    for resource in list(made.resources())[1:]:
        for name in list(resource):
            if name not in ("resourceType", "id"):
                before, resource[name] = resource[name], junk
                found_in(made)
                resource[name] = before
