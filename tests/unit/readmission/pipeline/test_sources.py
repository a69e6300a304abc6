"""Sources in S3: supported files, and error messages for invalid ones."""

import bz2
import csv
import gzip
import io
import lzma
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, IncompleteReadError, ParamValidationError
from readmission.domain.contract import NAMES
from readmission.errors import (
    ColumnsMismatch,
    InvalidRequest,
    ReadmissionError,
    RowMalformed,
    SourceLimitExceeded,
    SourceMalformed,
    SourceNotFound,
    SourceUnavailable,
)
from readmission.pipeline.sources import Synthetic, data_kind, open_rows, parse_synthetic
from readmission.settings import SourceSettings

from tests.unit.readmission.builders import BUCKET, FakeS3, archive, client_error, fields, numbered, table

ROWS = numbered(3)
IDS_MAPPING = b"admission_type_id,description\n1,Emergency\n2,Urgent\n" * 5_000
ENDLESS_LINE = b"x" * (csv.field_size_limit() + 1)
SOURCE = f"s3://{BUCKET}/source"


def _read(content: bytes) -> list[list[str]]:
    with open_rows(SOURCE, FakeS3(source=content)) as rows:  # type: ignore[arg-type]
        return list(rows)


def _refused(kind: type[ReadmissionError], content: bytes) -> str:
    with pytest.raises(kind) as refused:
        _read(content)
    assert refused.type is kind
    return str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(table(ROWS), id="csv"),
        pytest.param(table(ROWS)[:-1], id="no-newline-at-the-end"),
        pytest.param(b"\xef\xbb\xbf" + table(ROWS), id="byte-order-mark"),
        pytest.param(table(ROWS, newline="\r\n"), id="crlf"),
        pytest.param(gzip.compress(table(ROWS)), id="gzip"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + table(ROWS)), id="gzip-with-byte-order-mark"),
        pytest.param(gzip.compress(table(ROWS[:1])) + gzip.compress(table(ROWS)[len(table(ROWS[:1])) :]), id="2-gzips"),
        pytest.param(archive({"diabetic_data.csv": table(ROWS)}), id="zip"),
        pytest.param(archive({"diabetic_data.csv": table(ROWS)}, zipfile.ZIP_STORED), id="zip-stored"),
        pytest.param(archive({"diabetic_data.csv": table(ROWS)}, zipfile.ZIP_LZMA), id="zip-lzma"),
        pytest.param(archive({"a/b/DATA.CSV": table(ROWS)}), id="zip-with-folders"),
        pytest.param(archive({"data.csv": b"\xef\xbb\xbf" + table(ROWS, newline="\r\n")}), id="zip-with-windows-csv"),
        pytest.param(archive({"IDs_mapping.csv": IDS_MAPPING, "d.csv": table(ROWS)}), id="zip-with-a-larger-table"),
        pytest.param(archive({"a.csv": table(ROWS), "__MACOSX/._a.csv": b"\0\5\x16\7"}), id="zip-of-a-mac"),
        pytest.param(archive({"a.csv": ENDLESS_LINE, "d.csv": table(ROWS)}), id="zip-with-an-endless-line"),
        pytest.param(archive({"README": b"hello", "d.csv": table(ROWS), "empty.csv": b""}), id="zip-with-other-files"),
    ],
)
def test_the_table_is_found_and_read(content: bytes) -> None:
    assert _read(content) == ROWS


def test_columns_in_another_order_are_reordered() -> None:
    header = [*reversed(NAMES)]
    assert _read(table([[*reversed(row)] for row in ROWS], header)) == ROWS


def test_a_field_in_quotes_keeps_its_commas_and_line_breaks() -> None:
    row = fields(medical_specialty='Surgery, "General"\nand\r\nother')
    assert _read(table([row])) == [row]


def _texts(random_: random.Random, length: int) -> str:
    return "".join(random_.choices(["a", " ", "é", ",", '"', '""', "\n", "\r\n", "\r", ""], k=length))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_rows_are_read_as_pythons_csv_reader_reads_them(newline: str) -> None:
    random_ = random.Random(1)
    rows = [fields(payer_code=_texts(random_, number % 5), diag_3=_texts(random_, 3)) for number in range(300)]
    content = table(rows, newline=newline)
    assert _read(content) == list(csv.reader(io.StringIO(content.decode(), newline="")))[1:] == rows


@pytest.mark.parametrize("text", ['"a', 'a"b', '"a"b', '"a" ', "'a", "a b", "\ta", "\x0b", "\x1c", "\u2028"])
def test_an_unusual_field_is_read_or_refused_as_by_pythons_csv_reader(text: str) -> None:
    content = table([fields(payer_code="PAYER")]).replace(b"PAYER", text.encode())
    try:
        expected = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))[1:]
    except csv.Error as error:
        assert _refused(SourceMalformed, content) == f"{SOURCE}, after row 0: {error}"
    else:
        assert _read(content) == expected


def test_a_header_without_rows_is_an_empty_table() -> None:
    assert _read(table([])) == []


def test_missing_and_extra_columns_are_named_with_the_source() -> None:
    header = ["ward" if name == "race" else name for name in NAMES]
    message = _refused(ColumnsMismatch, table(ROWS, header))
    assert message.startswith(SOURCE)
    assert "missing: 'race'; extra: 'ward'" in message


def test_a_zips_column_mismatch_names_the_likeliest_member() -> None:
    wrong = table(ROWS * 1_000, [*NAMES[:-1], "readmission"])
    message = _refused(ColumnsMismatch, archive({"IDs_mapping.csv": b"a,b\n", "x/data.csv": wrong}))
    assert f"{SOURCE} (x/data.csv)" in message


@pytest.mark.parametrize(
    ("row", "count"),
    [
        pytest.param(fields()[:-1], 49, id="too-few"),
        pytest.param([*fields(), "x"], 51, id="too-many"),
    ],
)
def test_a_row_with_too_few_or_too_many_fields_is_named_by_its_number(row: list[str], count: int) -> None:
    message = _refused(RowMalformed, table([*ROWS, row, *ROWS]))
    assert message == f"{SOURCE}, row 4 has {count} fields, not 50"


def test_a_first_column_without_a_name_is_ignored() -> None:
    numbered_by_pandas = [[str(index), *row] for index, row in enumerate(ROWS)]
    assert _read(table(numbered_by_pandas, ["", *NAMES])) == ROWS


def test_a_column_without_a_name_elsewhere_is_extra() -> None:
    message = _refused(ColumnsMismatch, table([[*row, ""] for row in ROWS], [*NAMES, ""]))
    assert message.endswith("extra: ''")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda content: archive({"d.csv": content})])
def test_a_header_with_a_million_columns_is_refused_at_once(pack: Callable[[bytes], bytes]) -> None:
    message = _refused(ColumnsMismatch, pack(",".join(f"c{number}" for number in range(100_000)).encode()))
    assert message.endswith("the first line has 100000 columns, more than the limit of 200")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda content: archive({"d.csv": content})])
@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        pytest.param(
            b"x," * 20_000_000, SourceMalformed, "starts with a line of more than 1048576 characters", id="header"
        ),
        pytest.param(table(ROWS) + b"x," * 20_000_000, RowMalformed, "row 4 has more than 8192 characters", id="row"),
        pytest.param(
            table(ROWS) + b'"\n",' * 3_000_000,
            RowMalformed,
            "row 4 has more than 8192 characters",
            id="row-of-many-lines",
        ),
        pytest.param(
            table([*ROWS, fields(race="x" * 9_000)]), RowMalformed, "row 4 has more than 8192 characters", id="field"
        ),
    ],
)
def test_memory_does_not_grow_with_a_line(
    content: bytes, kind: type[ReadmissionError], says: str, pack: Callable[[bytes], bytes]
) -> None:
    s3 = FakeS3(source=pack(content))
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=says), open_rows(SOURCE, s3) as rows:  # type: ignore[arg-type]
            list(rows)
        assert tracemalloc.get_traced_memory()[1] - len(s3.objects["source"]) < 40_000_000
    finally:
        tracemalloc.stop()


def test_an_archive_of_very_many_files_is_refused_before_they_are_listed() -> None:
    content = archive({f"{'x' * 2_000}{number}.csv": b"" for number in range(2_200)})
    assert "an archive of too many files" in _refused(SourceMalformed, content)


def test_a_small_archive_of_an_enormous_table_is_stopped() -> None:
    content = gzip.compress(table(ROWS * 2_000))
    settings = SourceSettings(max_bytes=len(content))
    with (
        pytest.raises(SourceLimitExceeded, match="10 times MaxSourceMegabytes"),
        open_rows(SOURCE, FakeS3(source=content), settings) as rows,
    ):  # type: ignore[arg-type]
        list(rows)


def test_an_object_that_is_too_large_is_stopped() -> None:
    settings = SourceSettings(max_bytes=100)
    with (
        pytest.raises(SourceLimitExceeded, match=f"{SOURCE} is larger than the 0.0001 MB"),
        open_rows(SOURCE, FakeS3(source=table(ROWS)), settings),
    ):  # type: ignore[arg-type]
        raise AssertionError


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            archive({"[Content_Types].xml": b"<Types/>", "docProps/app.xml": b"", "xl/workbook.xml": b"<workbook/>"}),
            "looks like Excel, not CSV; save it as CSV UTF-8 (comma delimited)",
            id="xlsx",
        ),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "looks like Excel, not CSV", id="xls"),
        pytest.param(archive({"mimetype": b"x", "content.xml": b""}), "looks like OpenDocument, not CSV", id="ods"),
        pytest.param(b"PAR1" + bytes(500), "is a corrupt or encrypted Parquet file", id="parquet"),
        pytest.param(gzip.compress(b"PAR1" + bytes(500)), "is Parquet in gzip", id="parquet-in-gzip"),
        pytest.param(b'[{"encounter_id": 1}]', "is one JSON array; write each row as an object", id="json"),
        pytest.param(table(ROWS).decode().encode("utf-16"), "is in UTF-16, not UTF-8", id="utf-16"),
        pytest.param(
            table(ROWS).replace(b",", b";"), "has columns separated by semicolons, not commas", id="semicolons"
        ),
        pytest.param(
            archive({"d.csv": table(ROWS).replace(b",", b";")}),
            "(d.csv) has columns separated by semicolons, not commas",
            id="semicolons-in-a-zip",
        ),
        pytest.param(table(ROWS).replace(b",", b"\t"), "has columns separated by tabs", id="tabs"),
        pytest.param(
            table([*ROWS, fields(race="Zo\xeb")]).decode().encode("cp1252"),
            "after row 0: the text is not UTF-8 but another encoding, probably Windows-1252; save it as CSV UTF-8",
            id="cp1252",
        ),
    ],
)
def test_a_file_of_another_format_is_named_with_what_to_do(content: bytes, says: str) -> None:
    assert says in _refused(SourceMalformed, content)


def test_blank_lines_are_skipped() -> None:
    with open_rows(SOURCE, FakeS3(source=table([*ROWS, []]) + b"\n")) as rows:  # type: ignore[arg-type]
        assert list(rows) == ROWS


def test_a_nul_character_is_reported_with_its_row() -> None:
    message = _refused(RowMalformed, table([*ROWS, fields(race="a\0b")]))
    assert message == f"{SOURCE}, row 4 contains a NUL character, which Postgres cannot store"


@pytest.mark.parametrize("pack", [table, lambda rows: gzip.compress(table(rows))], ids=["csv", "gzip"])
def test_the_rows_before_a_malformed_row_are_read(pack: Callable[[Any], bytes]) -> None:
    with open_rows(SOURCE, FakeS3(source=pack([*ROWS, ["x"]]))) as rows:  # type: ignore[arg-type]
        assert [next(rows) for _ in ROWS] == ROWS


def test_a_malformed_row_in_a_zip_is_named_with_the_member() -> None:
    message = _refused(RowMalformed, archive({"x/data.csv": table([["1"]])}))
    assert message.startswith(f"{SOURCE} (x/data.csv), row 1 has ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "is empty", id="empty-file"),
        pytest.param(gzip.compress(b""), "is empty", id="empty-gzip"),
        pytest.param(archive({}), "does not contain a CSV file", id="empty-zip"),
        pytest.param(
            archive({"a.txt": b"x"}),
            "does not contain a CSV file or JSON lines; it contains 1 others",
            id="zip-without-csv",
        ),
        pytest.param(archive({"data.csv": table(ROWS)})[:-40], "corrupt archive", id="truncated-zip"),
        pytest.param(b"PK\x03\x04", "corrupt archive", id="only-a-zips-signature"),
        pytest.param(gzip.compress(table(ROWS))[:-20], "the archive is corrupt", id="truncated-gzip"),
        pytest.param(b"\x1f\x8bnonsense", "the archive is corrupt", id="only-a-gzips-signature"),
        pytest.param(table([fields(race="Zo\xeb")]).decode().encode("latin-1"), "not UTF-8", id="latin-1"),
        pytest.param(
            gzip.compress(table([fields(race="Zo\xeb")]).decode().encode("latin-1")), "UTF-8", id="gz-latin-1"
        ),
        pytest.param(table(ROWS).decode().encode("utf-16"), "not UTF-8", id="utf-16"),
        pytest.param(table(ROWS) + b'"never closed', "after row 3", id="open-quote"),
        pytest.param(ENDLESS_LINE, "field larger", id="one-endless-line"),
    ],
)
def test_a_source_without_a_readable_table_is_malformed(content: bytes, says: str) -> None:
    message = _refused(SourceMalformed, content)
    assert message.startswith(SOURCE)
    assert says in message


@pytest.mark.parametrize(
    "compression",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
@pytest.mark.parametrize("position", [0.2, 0.5, 0.9])
def test_corrupt_bytes_inside_a_zip_are_detected(compression: int, position: float) -> None:
    shuffled = numbered(2_000)
    random.Random(1).shuffle(shuffled)
    content = bytearray(archive({"data.csv": table(shuffled)}, compression))
    middle = int(len(content) * position)
    content[middle : middle + 40] = b"1" * 40
    with pytest.raises((SourceMalformed, RowMalformed)):
        _read(bytes(content))


def test_corrupt_bytes_inside_a_gzip_are_detected() -> None:
    content = bytearray(gzip.compress(table(numbered(2_000))))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises((SourceMalformed, RowMalformed)):
        _read(bytes(content))


def test_an_encrypted_zip_is_malformed() -> None:
    content = bytearray(archive({"data.csv": table(ROWS)}))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in _refused(SourceMalformed, bytes(content))


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress], ids=["bz2", "xz"])
def test_unsupported_compression_is_rejected(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises((SourceMalformed, ColumnsMismatch)):
        _read(compress(table(ROWS)))


@pytest.mark.parametrize(
    "source",
    [
        "ftp://host/data.csv",
        "file:///etc/passwd",
        "/etc/passwd",
        "data.csv",
        "s3://bucket",
        "s3://bucket/",
        "s3:///key",
        "://",
        "synthetics",
    ],
)
def test_an_unsupported_source_is_an_invalid_request_that_names_the_field(source: str) -> None:
    with pytest.raises(InvalidRequest, match="'source'"), open_rows(source, FakeS3()):  # type: ignore[arg-type]
        raise AssertionError


def test_a_bucket_name_that_s3_does_not_allow_is_an_invalid_request() -> None:
    class Strict:
        def get_object(self, **_: str) -> Any:
            raise ParamValidationError(report='Invalid bucket name "a b"')

    with pytest.raises(InvalidRequest, match=r"'source'.*a b"), open_rows("s3://a b/key", Strict()):  # type: ignore[arg-type]
        raise AssertionError


@pytest.mark.parametrize("source", [f"s3://{BUCKET}/nothing", "s3://nowhere/source"], ids=["key", "bucket"])
def test_a_missing_object_or_bucket_is_not_found(source: str) -> None:
    with pytest.raises(SourceNotFound, match=source), open_rows(source, FakeS3()):  # type: ignore[arg-type]
        raise AssertionError


class _Failing:
    """An S3 that fails in its response or while the body is read."""

    def __init__(self, error: Exception, in_body: bool) -> None:
        self._error = error
        self._in_body = in_body

    def get_object(self, **_: str) -> dict[str, Any]:
        if self._in_body:
            return {"Body": self}
        raise self._error

    def iter_chunks(self, _: int) -> Any:
        yield table(ROWS)
        raise self._error


@pytest.mark.parametrize("in_body", [False, True], ids=["answer", "body"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(client_error("AccessDenied"), SourceNotFound, id="denied"),
        pytest.param(client_error("SlowDown"), SourceUnavailable, id="throttled"),
        pytest.param(client_error("InternalError"), SourceUnavailable, id="internal"),
        pytest.param(EndpointConnectionError(endpoint_url="http://s3"), SourceUnavailable, id="unreachable"),
        pytest.param(IncompleteReadError(actual_bytes=1, expected_bytes=2), SourceUnavailable, id="broken-off"),
    ],
)
def test_a_failure_of_s3_is_reported_with_the_source(error: Exception, kind: type[Exception], in_body: bool) -> None:
    with pytest.raises(kind, match=SOURCE) as failed, open_rows(SOURCE, _Failing(error, in_body)):  # type: ignore[arg-type]
        raise AssertionError
    assert failed.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mine"),
        EOFError("mine"),
        ValueError("mine"),
        OSError("mine"),
        csv.Error("mine"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("source", [SOURCE, "synthetic:rows=5"], ids=["file", "synthetic"])
def test_an_error_of_the_caller_is_passed_on_unchanged(source: str, error: BaseException) -> None:
    with pytest.raises(type(error)) as passed, open_rows(source, FakeS3(source=table(ROWS))) as rows:  # type: ignore[arg-type]
        next(rows)
        raise error
    assert passed.value is error


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("synthetic", Synthetic(20_000, 1)),
        ("synthetic:", Synthetic(20_000, 1)),
        ("synthetic:rows=500", Synthetic(500, 1)),
        ("synthetic:seed=0", Synthetic(20_000, 0)),
        ("synthetic:rows=1,seed=9", Synthetic(1, 9)),
        ("synthetic:seed=9,rows=100000000", Synthetic(100_000_000, 9)),
    ],
)
def test_a_synthetic_source_may_have_rows_and_seed(source: str, parsed: Synthetic) -> None:
    assert parse_synthetic(source) == parsed


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("rows=0", id="no-rows"),
        pytest.param("rows=100000001", id="too-many-rows"),
        pytest.param("rows=-5", id="negative"),
        pytest.param("rows=1.5", id="float"),
        pytest.param("rows=", id="empty"),
        pytest.param("rows", id="no-value"),
        pytest.param("rows=²", id="superscript"),
        pytest.param("rows=٣", id="arabic-digit"),
        pytest.param("seed=" + "9" * 5_000, id="endless"),
        pytest.param("seed=x", id="word"),
        pytest.param("Rows=5", id="capital"),
        pytest.param(" rows=5", id="space"),
        pytest.param("columns=5", id="unknown"),
        pytest.param("5", id="bare-number"),
    ],
)
def test_an_invalid_option_of_a_synthetic_source_is_named(option: str) -> None:
    with pytest.raises(InvalidRequest, match="input field 'source'") as refused:
        parse_synthetic(f"synthetic:seed=1,{option}")
    assert repr(option)[:40] in str(refused.value)


@pytest.mark.parametrize("source", ["synthetics", "s3://synthetic/x", "https://synthetic:80/", "Synthetic"])
def test_a_source_that_only_looks_synthetic_is_not(source: str) -> None:
    assert parse_synthetic(source) is None


@pytest.mark.parametrize(("source", "kind"), [("synthetic:rows=5", "synthetic"), (SOURCE, "real")])
def test_only_a_synthetic_source_has_synthetic_data(source: str, kind: str) -> None:
    assert data_kind(source) == kind


def test_a_synthetic_sources_rows_are_generated() -> None:
    with open_rows("synthetic:rows=5,seed=3", FakeS3()) as rows:  # type: ignore[arg-type]
        assert len(list(rows)) == 5
