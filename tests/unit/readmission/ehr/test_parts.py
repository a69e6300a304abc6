"""What the single fields are read from, and what is refused because it can mean two things."""

from collections.abc import Callable
from typing import Any

import pytest
from readmission.ehr.found import Found

from tests.fhir_stays import ICD9, ICD10, Stay, bundle, rows, stay_of
from tests.unit.readmission.ehr.test_reading import found_in

ROW = next(
    row for row in rows(200) if row["A1Cresult"] == row["max_glu_serum"] == "None" and row["insulin"] == "Steady"
)


def read(change: Callable[[Stay], Any]) -> Found:
    made = stay_of(ROW)
    change(made)
    return found_in(made)


@pytest.mark.parametrize(
    ("born", "start", "age"),
    [
        ("1950-03-11", "2026-03-10", 75),
        ("1950-03-10", "2026-03-10T23:30:00-05:00", 76),
        ("1950-02", "2026-03-10", 76),
        ("1950", "2025-12-31", 75),
        ("2000-02-29", "2026-02-28", 25),
    ],
)
def test_the_age_is_that_on_the_day_of_the_admission(born: str, start: str, age: int) -> None:
    found = read(lambda stay: (stay.patient.update(birthDate=born), stay.encounter.update(period={"start": start})))
    assert found.fields["age_numeric"] == age


@pytest.mark.parametrize(("born", "ages"), [("1950", "75 or 76"), ("1950-03", "75 or 76")])
def test_a_date_of_birth_that_leaves_two_ages_is_refused_with_both(born: str, ages: str) -> None:
    found = read(
        lambda stay: (stay.patient.update(birthDate=born), stay.encounter["period"].update(start="2026-03-10"))
    )
    assert ages in found.conflicting["age_numeric"]


def test_a_patient_who_has_died_gets_no_forecast() -> None:
    assert "has died" in read(lambda stay: stay.patient.update(deceasedBoolean=True)).conflicting["age_numeric"]


@pytest.mark.parametrize(
    ("period", "days"),
    [
        ({"start": "2026-03-10T23:00:00+01:00", "end": "2026-03-11T01:00:00+01:00"}, 1),
        ({"start": "2026-03-10"}, 10),
        ({"start": "2026-03-19T23:00:00-10:00"}, 1),
    ],
    ids=["midnights", "until today", "until today, where the hospital is"],
)
def test_the_days_in_hospital_are_midnights(period: dict[str, str], days: int) -> None:
    assert read(lambda stay: stay.encounter.update(period=period)).fields["time_in_hospital"] == days


def test_a_stay_that_ends_before_it_starts_is_refused() -> None:
    period = {"start": "2026-03-10", "end": "2026-03-08"}
    assert (
        "ends 2 days before" in read(lambda stay: stay.encounter.update(period=period)).conflicting["time_in_hospital"]
    )


@pytest.mark.parametrize(
    ("code", "field", "value"),
    [("home", "fields", 1), ("exp", "fields", 11), ("hosp", "conflicting", "hospice"), ("oth", "fields", None)],
)
def test_a_discharge_is_known_if_the_data_has_one_of_the_same_meaning(code: str, field: str, value: Any) -> None:
    disposition = {"dischargeDisposition": {"coding": [{"code": code}]}}
    found = getattr(read(lambda stay: stay.encounter.update(hospitalization=disposition)), field)
    given = found.get("discharge_disposition_id")
    assert given == value or (isinstance(value, str) and value in given)


@pytest.mark.parametrize("code", ["AMB", "EMER", "OBSENC"])
def test_what_is_no_inpatient_stay_gets_no_forecast(code: str) -> None:
    found = read(lambda stay: stay.encounter.update({"class": {"code": code}}))
    assert f"not an inpatient stay by its class, {code}" in found.conflicting["time_in_hospital"]


@pytest.mark.parametrize(("codes", "kind"), [(["EM"], 1), (["EM", "x"], 1), (["EM", "EL"], None)])
def test_two_priorities_are_refused_with_both(codes: list[str], kind: int | None) -> None:
    priority = {"coding": [{"code": code} for code in codes]}
    found = read(lambda stay: stay.encounter.update(priority=priority))
    assert found.fields.get("admission_type_id") == kind
    assert kind or "EL, EM" in found.conflicting["admission_type_id"]


def visit(start: str | None = "2026-01-01", code: str = "AMB", **more: Any) -> dict[str, Any]:
    period = {"period": {"start": start}} if start else {}
    return {"resourceType": "Encounter", "id": "v", "status": "finished", "class": {"code": code}, **period, **more}


def visits(*some: dict[str, Any]) -> Found:
    def change(stay: Stay) -> None:
        stay.encounter["period"] = {"start": "2026-03-10T10:00:00Z", "end": "2026-03-12T10:00:00Z"}
        stay.encounters = [stay.encounter, *some]

    return read(change)


@pytest.mark.parametrize(
    ("some", "counted"),
    [
        (visit("2025-03-10"), 1),
        (visit("2025-03-09"), 0),
        (visit("2026-03-11"), 0),
        (visit("2026-03-10T09:00:00Z"), 1),
        (visit("2026-03-10T11:00:00Z"), 0),
        (visit(status="cancelled"), 0),
        (visit(code="VR"), 0),
    ],
    ids=["a year ago", "longer ago", "later", "the same day, before", "the same day, after", "cancelled", "virtual"],
)
def test_a_visit_counts_if_it_began_in_the_year_before_the_admission(some: dict[str, Any], counted: int) -> None:
    assert visits(some).fields["number_outpatient"] == counted


@pytest.mark.parametrize(
    ("some", "field", "why"),
    [
        (visit("2026-03-10"), "conflicting", "does not say whether it began"),
        (visit(None), "conflicting", "does not say whether it began"),
        (visit(code=""), "missing", "Encounter/v has no class"),
    ],
    ids=["the same day without a time", "no start", "no class"],
)
def test_a_visit_that_may_count_makes_the_number_unknown(some: dict[str, Any], field: str, why: str) -> None:
    assert why in getattr(visits(some), field)["number_outpatient"]


def diagnosed(*codes: tuple[int, list[tuple[str, str]]]) -> Found:
    """Conditions with these ranks and codes."""

    def change(stay: Stay) -> None:
        stay.conditions = [
            {
                "resourceType": "Condition",
                "id": f"c{number}",
                "code": {"coding": [{"system": system, "code": code} for system, code in some]},
            }
            for number, (_, some) in enumerate(codes)
        ]
        stay.encounter["diagnosis"] = [
            {"condition": {"reference": f"https://ehr.example/fhir/Condition/c{number}"}, "rank": rank}
            for number, (rank, _) in enumerate(codes)
        ]

    return read(change)


def test_a_code_without_a_system_that_fits_both_versions_is_refused_with_both() -> None:
    found = diagnosed((1, [("", "V57.1")]), (2, [(ICD10, "I50.9")]))
    assert "V57.1 without a system: it can be ICD-9-CM or ICD-10-CM" in found.conflicting["diag_1"]
    found = diagnosed((1, [("", "V57.1"), (ICD9, "V57.1")]))
    assert (found.conflicting, found.fields["diag_1"]) == ({}, "V57.1")


def test_codes_of_icd10_are_taken_where_all_have_them() -> None:
    both = [(ICD9, "250.00"), (ICD10, "E11.9")]
    found = diagnosed((1, both), (2, [(ICD10, "I50.9")]))
    assert [found.fields[name] for name in ("diag_version", "diag_1", "diag_2")] == ["icd10", "E11.9", "I50.9"]
    found = diagnosed((1, both), (2, [(ICD9, "428")]))
    assert [found.fields[name] for name in ("diag_version", "diag_1", "diag_2")] == ["icd9", "250.00", "428"]


@pytest.mark.parametrize(
    ("codes", "field", "why"),
    [
        ([(1, [(ICD10, "E11.9")]), (2, [(ICD9, "428")])], "diag_1", "different versions"),
        ([(1, [(ICD10, "E11.9"), (ICD10, "E11.8")])], "diag_1", "Condition/c0 has several codes"),
        ([(1, [(ICD10, "E11.9")]), (1, [(ICD10, "I50.9")])], "diag_1", "Condition/c0, Condition/c1 have the same rank"),
    ],
    ids=["two versions", "two codes", "one rank"],
)
def test_diagnoses_that_can_mean_two_things_are_refused(codes: Any, field: str, why: str) -> None:
    assert why in diagnosed(*codes).conflicting[field]


def test_a_diagnosis_without_a_code_of_icd_is_unknown_and_named() -> None:
    found = diagnosed((1, [("http://snomed.info/sct", "44054006")]), (2, [(ICD10, "I50.9")]))
    assert "diag_1" not in found.fields and found.fields["diag_2"] == "I50.9"
    assert found.fields["number_diagnoses"] == 2
    assert "Condition/c0 has no code of ICD-10-CM or ICD-9-CM" in " ".join(found.notes)


def test_without_ranks_the_order_of_the_diagnoses_is_unknown() -> None:
    assert not {"diag_1", "diag_version"} & read(lambda stay: stay.encounter.pop("diagnosis", None)).fields.keys()


def test_refuted_conditions_do_not_count() -> None:
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}, "code": {"text": "a"}}

    def change(stay: Stay) -> None:
        stay.conditions = [{"resourceType": "Condition", "id": "c", **refuted}]

    assert read(change).fields["number_diagnoses"] == 0


def result_of(name: str, value: Any, unit: str = "%", **more: Any) -> dict[str, Any]:
    code = {"text": name} if name else {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}
    quantity = {"valueQuantity": {"value": value, "unit": unit, **more}}
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": code, **quantity}


def laboratory(*some: dict[str, Any]) -> Found:
    return read(lambda stay: setattr(stay, "laboratory", list(some)))


A1C = "a1cresult_encoded"
GLUCOSE = "max_glu_serum_encoded"
SERUM = "Glucose [Mass/volume] in Serum or Plasma"


@pytest.mark.parametrize(
    ("some", "field", "group"),
    [
        ([result_of("HbA1c", 7)], A1C, 1),
        ([result_of("Hemoglobin A1c", 7.1)], A1C, 2),
        ([result_of("Glycated hemoglobin", 8.1)], A1C, 3),
        ([result_of("HGBA1C", 8.1)], A1C, 3),
        ([result_of("Glycohemoglobin", 8.1)], A1C, 3),
        ([result_of("Haemoglobin, glycated", 8.1)], A1C, 3),
        ([result_of("HbA1c", 14, comparator=">")], A1C, 3),
        ([result_of("HbA1c", 8, comparator=">")], A1C, 3),
        ([result_of("HbA1c", 4, comparator="<")], A1C, 1),
        ([result_of("HbA1c", 8.2), result_of("HbA1c", 9)], A1C, 3),
        ([result_of("Estimated average glucose from HbA1c", 150, "mg/dL")], A1C, 0),
        ([result_of(SERUM, 200, "mg/dL")], GLUCOSE, 1),
        ([result_of(SERUM, 120, "mg/dL"), result_of(SERUM, 301, "mg/dL")], GLUCOSE, 3),
        ([result_of(SERUM, 120, "mg/dL"), result_of(SERUM, 301, "mg/dL", comparator=">=")], GLUCOSE, 3),
        ([result_of("Glucose in Urine", 500, "mg/dL")], GLUCOSE, 0),
    ],
)
def test_results_are_in_the_groups_of_the_data(some: list[dict[str, Any]], field: str, group: int) -> None:
    found = laboratory(*some)
    assert (found.fields[field], found.fields["num_lab_procedures"]) == (group, len(some))


@pytest.mark.parametrize(
    ("some", "field", "kind", "why"),
    [
        ([result_of("HbA1c", 6), result_of("HbA1c", 9)], A1C, "conflicting", "in different groups"),
        ([result_of("HbA1c", 9, comparator="<")], A1C, "conflicting", "can be in several"),
        ([result_of("HbA1c", 53, "mmol/mol")], A1C, "missing", "has no result in %"),
        ([result_of("HbA1c", None)], A1C, "missing", "has no result in %"),
        ([result_of("HbA1c", float("nan"))], A1C, "missing", "has no result in %"),
        ([result_of("", 6)], A1C, "missing", "Observation/o may be this test"),
        ([result_of("Glucose", 120, "mg/dL")], GLUCOSE, "missing", "may be this test"),
        ([result_of(SERUM, 9, "mmol/L")], GLUCOSE, "missing", "has no result in mg/dL"),
        ([result_of(SERUM, 100, "mg/dL", comparator=">")], GLUCOSE, "conflicting", "can be in several"),
    ],
)
def test_a_result_that_can_mean_two_things_is_not_guessed(
    some: list[dict[str, Any]], field: str, kind: str, why: str
) -> None:
    found = laboratory(*some)
    assert why in getattr(found, kind)[field] and field not in found.fields


def test_tests_that_were_not_made_do_not_count() -> None:
    assert laboratory({**result_of("HbA1c", 9), "status": "cancelled"}).fields["num_lab_procedures"] == 0


def order(name: str | None, dose: float | None = 1, at: str = "2026-03-10T10:00:00Z", **more: Any) -> dict[str, Any]:
    timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    dosed = [{"timing": timing, "doseAndRate": [{"doseQuantity": {"value": dose, "unit": "mg"}}]}]
    concept = {"text": name} if name else {"coding": [{"system": "rxnorm", "code": "6809"}]}
    made = {"resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order", "authoredOn": at}
    return made | {"medicationCodeableConcept": concept} | ({"dosageInstruction": dosed} if dose else {}) | more


def ordered(*some: dict[str, Any]) -> Found:
    return read(lambda stay: setattr(stay, "medications", list(some)))


@pytest.mark.parametrize(
    ("name", "drug"),
    [
        ("Metformin hydrochloride 500 MG Oral Tablet", "metformin"),
        ("24 HR Glipizide 5 MG Extended Release Oral Tablet", "glipizide"),
        ("insulin glargine 100 UNT/ML Injectable Solution", "insulin"),
        ("Insulin, Aspart, Human 100 UNT/ML [NovoLog]", "insulin"),
        ("glipizide 5 MG / metformin hydrochloride 500 MG Oral Tablet", "glipizide-metformin"),
        ("Pioglitazone/Glimepiride", "glimepiride-pioglitazone"),
        ("insulin isophane, human 70 UNT/ML / insulin, regular, human 30 UNT/ML [Humulin]", "insulin"),
        ("Lisinopril 10 MG", None),
    ],
)
def test_drugs_are_recognised_by_their_ingredients(name: str, drug: str | None) -> None:
    found = ordered(order(name))
    assert found.fields["num_diabetes_meds"] == found.fields["diabetesmed_encoded"] == int(drug is not None)
    if drug in found.fields:
        assert found.fields[drug] == "Steady"
    assert bool(found.notes) == (drug is None)


@pytest.mark.parametrize(
    "name",
    [
        "sitagliptin 50 MG / metformin hydrochloride 500 MG",
        "empagliflozin-metformin",
        "Glibenclamide 5 mg",
        "gliclazida 30 mg",
        "Metformina 850 mg",
        "Insulina glargina",
        "mitiglinide",
    ],
)
def test_a_drug_that_can_be_one_of_them_or_another_is_refused_with_its_name(name: str) -> None:
    found = ordered(order(name), order("insulin"))
    assert {"num_diabetes_meds", "diabetesmed_encoded", "change_encoded"} == found.conflicting.keys()
    for words in ("MedicationRequest/m", name.lower().split()[0]):
        assert words in found.conflicting["num_diabetes_meds"]
    assert found.fields["num_medications"] == 2 and "insulin" not in found.fields


def test_an_order_with_two_names_of_different_drugs_is_refused() -> None:
    concept = {"text": "Metformin", "coding": [{"code": "x", "display": "Glipizide 5 MG"}]}
    found = ordered(order("x", medicationCodeableConcept=concept))
    assert "can be one of the 23" in found.conflicting["num_diabetes_meds"]


@pytest.mark.parametrize("name", ["Sitagliptin 100 MG", "Empagliflozin 10 MG", "Semaglutide", "tirzepatide 5 MG"])
def test_with_a_newer_drug_alone_it_is_not_said_that_there_is_none(name: str) -> None:
    found = ordered(order(name))
    assert "is a diabetes drug" in found.conflicting["diabetesmed_encoded"]
    with_another = ordered(order(name), order("metformin"))
    assert with_another.conflicting == {} and with_another.fields["num_diabetes_meds"] == 1
    assert name.lower().split()[0] in " ".join(with_another.notes)


@pytest.mark.parametrize(
    ("some", "change"),
    [
        ([order("metformin 500 mg")], "Steady"),
        ([order("metformin 500 mg", 500), order("metformin 850 mg", 850, "2026-03-11T10:00:00Z")], "Up"),
        ([order("metformin", 850, "2026-03-11T10:00:00Z"), order("metformin", 500, "2026-03-12T10:00:00Z")], "Down"),
        ([order("metformin", 500), order("metformin", 500)], "Steady"),
    ],
)
def test_a_dose_is_compared_with_the_one_before(some: list[dict[str, Any]], change: str) -> None:
    found = ordered(*some)
    assert (found.fields["metformin"], found.fields["change_encoded"]) == (change, int(change != "Steady"))
    assert found.fields["num_medications"] == 1


def test_a_stopped_drug_is_a_change() -> None:
    assert ordered(order("metformin", status="stopped")).fields["change_encoded"] == 1


@pytest.mark.parametrize(
    "some",
    [
        [order("metformin", None), order("metformin", 500, "2026-03-11T10:00:00Z")],
        [order("metformin", 500), order("metformin", 850)],
    ],
    ids=["a dose that cannot be read", "two doses at once"],
)
def test_doses_that_cannot_be_compared_are_not_taken_for_unchanged(some: list[dict[str, Any]]) -> None:
    found = ordered(*some)
    assert "cannot be compared" in found.conflicting["change_encoded"]
    assert not {"metformin", "num_doses_up"} & found.fields.keys()


def test_a_drug_without_a_name_could_be_any() -> None:
    found = ordered(order(None), order("metformin"))
    assert set(found.missing) == {"num_medications", "num_diabetes_meds", "diabetesmed_encoded", "change_encoded"}
    assert "MedicationRequest/m has no name" in found.missing["num_diabetes_meds"]


def test_a_drug_may_be_named_by_the_medication_inside_the_order() -> None:
    medication = {"resourceType": "Medication", "id": "x", "code": {"text": "Metformin"}}
    inside = order(None, contained=[medication], medicationReference={"reference": "#x"})
    assert ordered(inside).fields["num_diabetes_meds"] == 1


def test_what_was_never_ordered_does_not_count() -> None:
    some = [order("metformin", status="cancelled"), order("insulin", intent="proposal"), order("a", doNotPerform=True)]
    assert ordered(*some).fields["num_medications"] == 0


def test_several_patients_are_refused_with_both() -> None:
    made = stay_of(ROW)
    found = found_in(made, patient=bundle([made.patient, {**made.patient}]))
    assert "several patients" in found.conflicting["age_numeric"]
