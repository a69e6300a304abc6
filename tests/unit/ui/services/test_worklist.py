"""What a spreadsheet reads of the exported worklist."""

import csv
import io

import pytest

from ui.services import worklist

HEADER = ["Row", "Patient", "Risk (%)", "Why"]


def cells(content: bytes, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator))


@pytest.mark.parametrize(("language", "separator", "risk"), [("en", ",", "34.1"), ("es", ";", "34,1")])
def test_excel_in_the_language_finds_columns_letters_and_numbers(language: str, separator: str, risk: str) -> None:
    content = worklist.export(HEADER, [["1", "7", 34.12, "Ángel; sí, mañana"]], language)
    assert content.startswith(b"\xef\xbb\xbf") and content.count(b"\r\n") == 2
    assert cells(content, separator) == [HEADER, ["1", "7", risk, "Ángel; sí, mañana"]]


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-A1", "@SUM(A1)", "\t=1", " =1", "a;=1", "a\n=1", "\uff1d1"]
)
def test_no_cell_is_a_formula(language: str, text: str) -> None:
    separator = {"en": ",", "es": ";"}[language]
    content = worklist.export([text, "b"], [[text, "b"]], language)
    for row in cells(content, separator):
        assert row[1] == "b"
        for start in row[0].replace(";", "\n").splitlines():
            assert not start.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))


def test_a_long_number_keeps_its_digits_and_what_is_missing_is_empty() -> None:
    content = worklist.export(["a", "b", "c"], [["123456789012345678", None, "-7"]], "en")
    assert cells(content, ",")[1] == ["'123456789012345678", "", "-7"]
