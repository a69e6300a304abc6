import pytest
from readmission.domain.file_formats import format_of, office_format, separator_of

from tests.unit.readmission.builders import archive

KNOWN = ("age", "gender", "race")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"age,gender\n1,2", None),
        (b"", None),
        (b"\xef\xbb\xbfage,gender", None),
        (b"age;gender", None),
        (b"[50-60),x", None),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\n <!DOCTYPE html>", "HTML"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b'{"encounters": []}', "JSON"),
        (b'[{"age": 1}]', "JSON"),
        (b"%PDF-1.7", "PDF"),
        (b"PAR1\0", "Parquet"),
        (b"\x1f\x8b\x08", "gzip"),
        (archive({"a.csv": b"x"}), "ZIP"),
        (b"PK\x03\x04broken", "ZIP"),
        (archive({"xl/workbook.xml": b"", "[Content_Types].xml": b""}), "Excel"),
        (archive({"[Content_Types].xml": b"", "word/document.xml": b""}), "ZIP"),
        (archive({"mimetype": b"", "content.xml": b""}), "OpenDocument"),
    ],
)
def test_a_format_is_recognized_by_its_content(content: bytes, name: str | None) -> None:
    assert format_of(content) == name


def test_a_zip_of_tables_is_no_office_document() -> None:
    assert office_format(["a.csv", "xl/readme.txt"]) is None


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        (["age", "gender"], None),
        (["age;gender"], ";"),
        (['"age";"gender";"race"'], ";"),
        (["age\tgender"], "\t"),
        (["age|gender"], "|"),
        (["age;x"], None),
        (["x;note", "more;gender;age"], ";"),
        ([], None),
    ],
)
def test_another_separator_is_recognized_by_the_known_names(header: list[str], separator: str | None) -> None:
    assert separator_of(header, KNOWN) == separator
