import json
from itertools import islice
from typing import Any

import pytest
from readmission.http.problems import Refused
from readmission.serving.encounters import encounter_of, fields_of_encounter

from tests.load import mix, patients
from tests.load.mix import Mix
from tests.load.patients import Patient
from tests.unit.readmission.serving.fakes import serving


@pytest.fixture(scope="module")
def known() -> list[Patient]:
    return patients.read(60)


def bodies(one: Mix, kind: str, count: int) -> list[Any]:
    return [json.loads(getattr(one, kind)().body) for _ in range(count)]


def test_the_shares_are_of_a_hundred() -> None:
    assert sum(mix.SHARES.values()) == 100


def test_every_kind_is_asked_by_its_name(known: list[Patient]) -> None:
    one = Mix(known, seed=1)
    assert [getattr(one, kind)().name for kind in mix.SHARES] == list(mix.SHARES)


def test_every_patient_is_one_that_the_api_accepts_in_either_form(known: list[Patient]) -> None:
    assert len(known) == 60
    for patient in known:
        for form in (patient.prepared, patient.raw, patient.named):
            fields_of_encounter(json.loads(json.dumps(form)))


def test_patients_vary_and_come_in_both_forms(known: list[Patient]) -> None:
    asked = bodies(Mix(known, seed=1), "predict", 100)
    assert len({json.dumps(one) for one in asked}) > 50
    assert 30 < sum("diag_1" in one for one in asked) < 70


def test_the_same_seed_asks_the_same(known: list[Patient]) -> None:
    first, again, other = (bodies(Mix(known, seed), "predict", 5) for seed in (1, 1, 2))
    assert first == again != other


def test_a_history_is_asked_for_by_the_patients_number(known: list[Patient]) -> None:
    (document,) = bodies(Mix(known, 1), "history", 1)
    assert encounter_of(document).patient


@pytest.mark.parametrize("kind", ["hook", "fhir"])
def test_what_an_ehr_sends_is_answered_rightly(known: list[Patient], kind: str) -> None:
    api, one = serving(0.25, 0.25, 0.5), Mix(known, 1)
    for _ in range(10):
        asked = getattr(one, kind)()
        answer = api.post(asked.path, asked.body)
        assert asked.complaint(answer.status_code, answer.text) is None, answer.text


def test_a_batch_has_its_rows_and_the_api_accepts_each(known: list[Patient]) -> None:
    (rows,) = (one["encounters"] for one in bodies(Mix(known, 1), "batch", 1))
    assert len(rows) == mix.BATCH_ROWS
    for row in islice(rows, 5):
        asked = encounter_of(row)
        assert asked.patient and asked.patient.encounter_id


def test_what_is_to_be_refused_is_refused_by_the_field_that_is_told(known: list[Patient]) -> None:
    one = Mix(known, 1)
    for _ in range(20):
        asked = one.refused()
        assert asked.body is not None
        with pytest.raises(Refused) as error:
            fields_of_encounter(json.loads(asked.body))
        assert (error.value.status, asked.status) == (422, 422)
        assert asked.holds in [field.field for field in error.value.errors]


def test_an_answer_is_right_by_status_and_content(known: list[Patient]) -> None:
    asked = Mix(known, 1).refused()
    assert asked.complaint(422, f'{{"errors":["{asked.holds}"]}}') is None
    assert asked.complaint(200, asked.holds) == "status 200, not 422"
    assert asked.complaint(422, "{}") == f"no {asked.holds} in the answer"
    assert asked.complaint(0, "") == "status none, not 422"
