import pytest
from readmission.domain.spreadsheet import cell


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        (" =1", "' =1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a;=1", "a;'=1"),
        ("a\n=1", "a\n'=1"),
        ("age: is required; =x: is unknown", "age: is required;' =x: is unknown"),
        ("-", "'-"),
    ],
)
def test_a_formula_becomes_text(text: str, safe: str) -> None:
    assert cell(text) == safe


@pytest.mark.parametrize("text", ["", "8222157", "-5", "+1.5", "-1e-7", ".5", "text", "a=b", "[50-60)", "a; b", "5-3"])
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert cell(text) == text
