import math

import pytest
from readmission.pipeline.profile import OTHER, Profile, add_up, compare, profile_of

from tests.unit.readmission.builders import batch, encounter


def _profile(count: int, **changes: str) -> Profile:
    return profile_of(batch(*[encounter(**changes)] * count))


def _mixed(**numbers: int) -> Profile:
    """A profile in which the payer codes have these numbers of rows."""
    return profile_of(batch(*(encounter(payer_code=code) for code, count in numbers.items() for _ in range(count))))


def test_a_profile_has_sums_and_squares_of_numbers_and_counts_of_categories() -> None:
    found = profile_of(batch(encounter(num_medications="3"), encounter(num_medications="5", gender="Male")))
    assert found["rows"] == 2
    assert found["numbers"]["num_medications"] == {"sum": 8, "squares": 34}
    assert found["categories"]["gender"] == {"Female": 1, "Male": 1}


def test_a_profile_names_neither_patients_nor_encounters() -> None:
    found = _profile(20)
    assert not {"encounter_id", "patient_nbr"} & {*found["numbers"], *found["categories"]}
    assert "8222157" not in str(found) and "2278392" not in str(found)


def test_a_rare_value_of_a_free_text_is_not_kept() -> None:
    assert _mixed(AA=10, BB=9)["categories"]["payer_code"] == {"AA": 10, OTHER: 9}


def test_missing_is_kept_however_rare_it_is() -> None:
    assert profile_of(batch(encounter(payer_code="?")))["categories"]["payer_code"] == {"?": 1}


def test_profiles_add_up_to_that_of_all_rows() -> None:
    both = add_up([_profile(10, num_medications="2"), _profile(20, num_medications="8", gender="Male")])
    assert both["rows"] == 30
    assert both["numbers"]["num_medications"] == {"sum": 180, "squares": 1320}
    assert both["categories"]["gender"] == {"Female": 10, "Male": 20}


def test_no_profile_adds_up_to_one_without_rows() -> None:
    assert add_up([])["rows"] == 0


def test_equal_rows_do_not_differ() -> None:
    found = compare(_profile(100), _profile(50))
    assert found["notable"] == []
    assert {pair["difference"] for pair in found["means"].values()} == {0.0}
    assert max(pair["index"] for pair in found["shares"].values()) == 0


def test_means_differ_in_standard_deviations_of_the_rows_before() -> None:
    before = add_up([_profile(100, num_medications="10"), _profile(100, num_medications="20")])
    found = compare(before, _profile(100, num_medications="25"))
    assert found["means"]["num_medications"] == {"before": 15.0, "now": 25.0, "difference": 2.0}
    assert found["notable"] == ["num_medications"]


def test_the_population_stability_index_compares_shares() -> None:
    found = compare(_mixed(AA=500, BB=300, CC=200), _mixed(AA=200, BB=450, CC=350))["shares"]["payer_code"]
    assert found["index"] == pytest.approx(
        (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.45 - 0.3) * math.log(0.45 / 0.3) + (0.35 - 0.2) * math.log(0.35 / 0.2)
    )
    assert found["most_changed"] == {"value": "AA", "before": 0.5, "now": 0.2}


def test_values_that_one_side_lacks_have_a_finite_index() -> None:
    found = compare(_mixed(AA=500), _mixed(BB=500))
    assert 0.25 < found["shares"]["payer_code"]["index"] < math.inf
    assert found["notable"] == ["payer_code"]


def test_a_share_of_missing_values_that_grows_is_notable() -> None:
    before = add_up([_profile(900, A1Cresult="Norm"), _profile(100, payer_code="MC", A1Cresult="Norm")])
    now = add_up([_profile(700, A1Cresult="Norm"), _profile(300, payer_code="MC", A1Cresult="Norm")])
    found = compare(before, now)
    assert found["missing"]["payer_code"] == {"before": 0.9, "now": 0.7}
    assert found["notable"] == ["payer_code"]


def test_missing_diagnoses_are_compared_too() -> None:
    found = compare(_profile(100, diag_2="250"), _profile(100))
    assert found["missing"]["diag_2"] == {"before": 0.0, "now": 1.0}
    assert found["notable"] == ["diag_2"]


def test_unnamed_rare_values_are_compared_with_all_that_the_other_side_cannot_name() -> None:
    found = compare(_mixed(AA=90, BB=10), _mixed(AA=90, BB=9))["shares"]["payer_code"]
    assert found["index"] == pytest.approx(0, abs=0.001)
    assert compare(_mixed(AA=500, BB=5), _mixed(CC=500, BB=5))["notable"] == ["payer_code"]


def test_a_few_rows_differ_by_chance() -> None:
    before = add_up([_profile(50, num_medications="10"), _profile(50, num_medications="20")])
    assert compare(before, _profile(3, num_medications="20"))["notable"] == []
