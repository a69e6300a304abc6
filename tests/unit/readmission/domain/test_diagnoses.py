"""The version of an encounter's diagnoses: stated, or inferred from the format of the codes."""

import pytest
from readmission.domain import diagnoses
from readmission.domain.diagnoses import Version, read, versions_of

MISSING_VERSION = "diagnosis_version_missing"


@pytest.mark.parametrize(
    ("code", "versions"),
    [
        ("428", ("icd9",)),
        ("250.83", ("icd9",)),
        ("E885.9", ("icd9",)),
        ("E885", ("icd9", "icd10")),
        ("E030", ("icd9", "icd10")),
        ("V57", ("icd9", "icd10")),
        ("V57.89", ("icd9", "icd10")),
        ("E031", ("icd10",)),
        ("E88", ("icd10",)),
        ("E88.0", ("icd10",)),
        ("E119", ("icd10",)),
        ("I50.9", ("icd10",)),
        ("V57.5XXA", ("icd10",)),
        ("M1A.00X0", ("icd10",)),
        ("i50.9", ()),
        ("I50.", ()),
        ("?", ()),
        ("banana", ()),
    ],
)
def test_a_code_has_the_form_of_one_version_of_both_or_of_none(code: str, versions: tuple[Version, ...]) -> None:
    assert versions_of(code) == versions


@pytest.mark.parametrize(
    ("codes", "version"),
    [
        (["428", "V57"], "icd9"),
        (["V57", "E885"], "icd9"),
        (["I50.9", "E119"], "icd10"),
        (["?", None], None),
    ],
)
def test_the_form_of_the_codes_tells_the_version(codes: list[str | None], version: Version | None) -> None:
    found = read(dict(zip(diagnoses.FIELDS, codes, strict=False)))
    assert (found.version, found.wrong) == (version, {})


def test_codes_that_fit_both_are_refused_without_a_version_where_there_is_no_default() -> None:
    either = {"diag_1": "V57", "diag_2": "E885", "diag_3": "?"}
    found = read(either, otherwise=None)
    assert {name: wrong.fault for name, wrong in found.wrong.items()} == {
        "diag_1": MISSING_VERSION,
        "diag_2": MISSING_VERSION,
    }
    assert (found.version, found.codes) == (None, {"diag_1": None, "diag_2": None})
    assert read(either, "icd9", None).codes == {"diag_1": "V57", "diag_2": "E885"}


def test_only_the_code_without_an_equivalent_is_unknown() -> None:
    found = read({"diag_1": "I50.9", "diag_2": "U07.1", "last_diag_1": "E11"})
    assert found.codes == {"diag_1": "428", "diag_2": None, "last_diag_1": None}
    assert {name: wrong.fault for name, wrong in found.wrong.items()} == {
        "diag_2": "icd10_unmapped",
        "last_diag_1": "icd10_ambiguous",
    }
