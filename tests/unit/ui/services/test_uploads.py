"""Files as spreadsheets write them."""

import pytest

from tests.unit.readmission.builders import archive
from ui.services import uploads
from ui.services.uploads import FileRefused

HEADER = ["encounter_id", "num_medications", "diag_1", "medical_specialty"]
ROW = ["7", "5", "250,1", "Ärzte"]
TEXT = 'encounter_id;num_medications;diag_1;medical_specialty\r\n7;5;"250,1";Ärzte\r\n'


@pytest.mark.parametrize(
    ("content", "complaint", "found"),
    [
        (b"", "empty", ""),
        (b"  \n", "empty", ""),
        (b"\xef\xbb\xbf\r\n", "empty", ""),
        (b"PK\x03\x04\xff\xfe", "format", "ZIP"),
        (archive({"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "format", "Excel"),
        (b"just some text", "header", ""),
        (b"risk#patient_nbr#age\n1#2#3", "header", ""),
        (b'risk,note\n1,"never closed', "header", ""),
        (b"sep=;\nrisk,note\n", "header", ""),
        (b"risk,note\n", "rows", ""),
        # In code page 850, the letter is at the byte of a quotation mark of Windows-1252.
        ("age;race\n5;Ä\n".encode("cp850"), "encoding", ""),
        ("age;race\n5;€\n".encode("cp1252"), "encoding", ""),
        (TEXT.encode("utf-16")[:-1], "encoding", ""),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(content: bytes, complaint: str, found: str) -> None:
    with pytest.raises(FileRefused) as raised:
        uploads.read(content)
    assert (raised.value.complaint, raised.value.found) == (complaint, found)


@pytest.mark.parametrize(
    ("content", "separator", "encoding"),
    [
        (TEXT.encode("cp1252"), ";", "Windows-1252"),
        (TEXT.encode("iso-8859-15"), ";", "Windows-1252"),
        (TEXT.encode("utf-8-sig"), ";", "UTF-8"),
        (TEXT.replace(";", "\t").encode("utf-16"), "\t", "UTF-16"),
        (TEXT.replace(";", "|").encode(), "|", "UTF-8"),
        (TEXT.replace(";", ",").encode(), ",", "UTF-8"),
        (b"sep=;\r\n" + TEXT.encode(), ";", "UTF-8"),
    ],
)
def test_a_spreadsheets_file_is_read_as_it_is(content: bytes, separator: str, encoding: str) -> None:
    read = uploads.read(content)
    assert (read.header, read.rows) == (HEADER, [ROW])
    assert (read.separator, read.encoding) == (separator, encoding)
    assert read.unusual == ((separator, encoding) != (",", "UTF-8"))


def test_whole_numbers_lose_their_decimals_and_codes_keep_them() -> None:
    read = uploads.read(b"num_medications;number_inpatient;diag_1;age_numeric\n5,0;1.00;250.0;5,5\n1,0\n")
    assert read.rows == [["5", "1", "250.0", "5,5"], ["1"]]
    assert read.decimals == 3 and read.unusual


def test_a_comma_in_a_field_of_a_comma_separated_file_is_no_decimal() -> None:
    read = uploads.read(b'num_medications,diag_1\n"5,0",250.0\n5.0,1\n')
    assert read.rows == [["5,0", "250.0"], ["5", "1"]]


def test_byte_order_marks_quotes_and_empty_lines_are_read() -> None:
    read = uploads.read(b'\xef\xbb\xbfrisk, note\r\n0.1,"two\nlines"\r\n\r\n0.2,x\r\n')
    assert (read.header, read.rows) == (["risk", "note"], [["0.1", "two\nlines"], ["0.2", "x"]])
