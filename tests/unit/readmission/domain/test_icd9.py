import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from readmission.domain import icd9
from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("428", "428"),
        ("250.83", "250"),
        ("8", "8"),
        ("V57.8", "V57"),
        ("E885", "E885"),
        ("E885.9", "E885"),
        ("038", "38"),
        ("008.45", "8"),
    ],
)
def test_a_category_is_the_normal_code_before_its_decimal_point(code: str, category: str) -> None:
    assert icd9.category(code) == category


@pytest.mark.parametrize(
    ("code", "normal"),
    [
        ("038", "38"),
        ("008.45", "8.45"),
        ("38", "38"),
        ("250.03", "250.03"),
        ("V07.1", "V07.1"),
        ("000", "0"),
        ("0", "0"),
    ],
)
def test_a_normal_code_has_no_leading_zeros(code: str, normal: str) -> None:
    assert icd9.normal(code) == normal


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("8", "infectious"),
        ("139.9", "infectious"),
        ("140", "neoplasms"),
        ("239", "neoplasms"),
        ("240", "endocrine"),
        ("249.9", "endocrine"),
        ("250", "diabetes"),
        ("250.83", "diabetes"),
        ("251", "endocrine"),
        ("280", "blood"),
        ("290", "mental"),
        ("320", "nervous"),
        ("390", "circulatory"),
        ("459", "circulatory"),
        ("460", "respiratory"),
        ("520", "digestive"),
        ("580", "genitourinary"),
        ("630", "pregnancy"),
        ("680", "skin"),
        ("710", "musculoskeletal"),
        ("740", "congenital"),
        ("780", "symptoms"),
        ("784", "symptoms"),
        ("785", "circulatory"),
        ("786.5", "respiratory"),
        ("787", "digestive"),
        ("788", "genitourinary"),
        ("789", "symptoms"),
        ("800", "injury"),
        ("999", "injury"),
        ("E885", "external"),
        ("E000", "external"),
        ("E030", "external"),
        ("E119", "other"),
        ("E031", "other"),
        ("E800", "external"),
        ("E999.9", "external"),
        ("V57", "supplementary"),
        ("1000", "other"),
        ("I50.9", "other"),
        ("", "other"),
    ],
)
def test_a_code_belongs_to_the_group_of_strack_et_al(code: str, group: str) -> None:
    assert icd9.group(code) == group and group in icd9.GROUPS


@pytest.mark.parametrize(
    ("comorbidity", "codes", "others"),
    [
        ("has_heart_failure", ["428", "428.9"], ["427", "429"]),
        ("has_ischemic_heart_disease", ["410", "414.9"], ["409", "415"]),
        ("has_stroke", ["430", "438.9"], ["429", "439"]),
        ("has_kidney_disease", ["403", "404.9", "580", "588.9"], ["402", "405", "579", "589"]),
        ("has_chronic_lung_disease", ["490", "496"], ["489", "497"]),
        ("has_cancer", ["140", "209.9"], ["139", "210"]),
        ("has_liver_disease", ["570", "573"], ["569", "574"]),
        ("has_mental_disorder", ["290", "319"], ["289", "320"]),
        ("has_complicated_diabetes", ["250.1", "250.93"], ["250", "250.03", "251"]),
        ("has_anemia", ["280", "285.9"], ["279", "286"]),
        ("has_fluid_disorder", ["276", "276.9"], ["275", "277"]),
    ],
)
def test_a_comorbidity_is_a_range_of_codes(comorbidity: str, codes: list[str], others: list[str]) -> None:
    assert [icd9.comorbidities([code])[comorbidity] for code in codes] == [1] * len(codes)
    assert [icd9.comorbidities([code])[comorbidity] for code in others] == [0] * len(others)


def test_any_of_the_codes_is_enough_for_a_comorbidity() -> None:
    found = icd9.comorbidities(["V57", "428", "not a code"])
    assert found["has_heart_failure"] == 1 and sum(found.values()) == 1
    assert tuple(found) == icd9.COMORBIDITIES


def test_every_code_of_the_data_is_an_icd_9_code(diabetes_data: Path | None) -> None:
    codes = {row[column] for row in encounters(diabetes_data) for column in ("diag_1", "diag_2", "diag_3")} - {"?"}
    assert len(codes) >= 10
    assert [code for code in codes if icd9.group(code) == "other"] == []


def encounters(archive: Path | None) -> Iterator[dict[str, str]]:
    """The real encounters, or synthetic ones if there is no archive."""
    if archive is None:
        yield from (dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(500, seed=1))
        return
    with zipfile.ZipFile(archive) as members:
        name = next(name for name in members.namelist() if name.endswith("diabetic_data.csv"))
        yield from csv.DictReader(io.TextIOWrapper(members.open(name), newline=""))
