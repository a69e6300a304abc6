from collections import Counter
from hashlib import sha256
from itertools import islice

import pytest
from readmission.domain.contract import CLASSES, NAMES, check_numbers
from readmission.domain.splits import SPLITS, split_of
from readmission.pipeline import synthetic
from readmission.pipeline.quality import broken_rules

from tests.unit.readmission.builders import batch

ROWS = list(synthetic.rows(5_000, seed=1))


def _column(name: str) -> list[str]:
    return [row[NAMES.index(name)] for row in ROWS]


def test_the_number_of_rows_is_the_requested_one() -> None:
    assert len(ROWS) == 5_000


@pytest.mark.parametrize("seed", range(5))
def test_every_row_satisfies_the_contract(seed: int) -> None:
    rows = list(synthetic.rows(500, seed))
    for number, row in enumerate(rows, start=1):
        check_numbers(row, number, "synthetic")
    assert broken_rules(batch(*(dict(zip(NAMES, row, strict=True)) for row in rows))) == []


def test_the_same_count_and_seed_give_the_same_rows() -> None:
    assert list(synthetic.rows(200, seed=7)) == list(synthetic.rows(200, seed=7))


def test_the_rows_of_a_count_and_seed_are_those_of_earlier_releases() -> None:
    digest = sha256(repr(list(synthetic.rows(2_000, seed=1))).encode()).hexdigest()
    assert digest == "5f31c15251f7e295543f308f0b1635f67d254d65598f5fe5c644a21ce45f0ff0"


@pytest.mark.parametrize(("count", "seed"), [(200, 8), (201, 7)], ids=["seed", "count"])
def test_another_count_or_seed_gives_other_rows(count: int, seed: int) -> None:
    assert list(islice(synthetic.rows(count, seed), 200)) != list(synthetic.rows(200, seed=7))


def test_encounter_ids_are_unique() -> None:
    assert len(set(_column("encounter_id"))) == 5_000


def test_patients_come_back_as_often_as_in_the_real_data() -> None:
    encounters_per_patient = 5_000 / len(set(_column("patient_nbr")))
    assert 1.2 < encounters_per_patient < 2.5


def test_every_split_contains_every_class() -> None:
    patients = zip(_column("patient_nbr"), _column("readmitted"), strict=True)
    assert {(split_of(patient), name) for patient, name in patients} == {
        (split, name) for split in SPLITS for name in CLASSES
    }


@pytest.mark.parametrize(("name", "real"), [("NO", 0.54), (">30", 0.35), ("<30", 0.11)])
def test_the_share_of_each_class_is_within_15_points_of_the_real_one(name: str, real: float) -> None:
    assert Counter(_column("readmitted"))[name] / 5_000 == pytest.approx(real, abs=0.15)


def test_earlier_inpatient_stays_make_readmission_likelier() -> None:
    stays = list(zip(_column("number_inpatient"), _column("readmitted"), strict=True))
    with_stays = [name != "NO" for stay, name in stays if stay != "0"]
    without = [name != "NO" for stay, name in stays if stay == "0"]
    assert sum(with_stays) / len(with_stays) > sum(without) / len(without) + 0.1


def test_the_medication_columns_agree_with_each_other() -> None:
    for row in ROWS:
        encounter = dict(zip(NAMES, row, strict=True))
        doses = set(row[NAMES.index("metformin") : NAMES.index("change")])
        assert (encounter["diabetesMed"] == "Yes") == (doses != {"No"})
        assert (encounter["change"] == "Ch") == bool(doses & {"Up", "Down"})


def test_a_single_row_can_be_generated() -> None:
    assert len(list(synthetic.rows(1, seed=1))) == 1
