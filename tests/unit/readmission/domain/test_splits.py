from collections import Counter

import pytest
from readmission.domain.splits import SPLITS, split_of


@pytest.mark.parametrize(
    ("patient", "split"),
    [
        ("1", "train"),
        ("5", "test"),
        ("8222157", "train"),
        ("82442376", "test"),
        ("9999999999", "train"),
        ("13", "validation"),
        ("20", "validation"),
    ],
)
def test_a_patients_split_never_changes(patient: str, split: str) -> None:
    assert split_of(patient) == split


def test_the_splits_have_about_70_15_and_15_percent_of_the_patients() -> None:
    patients = 20_000
    counts = Counter(split_of(str(number)) for number in range(patients))
    shares = [counts[split] / patients for split in SPLITS]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.01)


def test_the_same_patient_is_always_in_the_same_split() -> None:
    assert {split_of("8222157") for _ in range(100)} == {split_of("8222157")}


def test_leading_zeros_do_not_change_the_split() -> None:
    assert all(split_of(f"00{number}") == split_of(str(number)) for number in range(200))
