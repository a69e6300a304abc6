"""The schema of a mapping: what is wrong is named with its line and key."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from readmission.domain.payloads import parse_request
from readmission.errors import InvalidRequest, MappingInvalid
from readmission.pipeline import mapping_file

from tests import hospital_file
from tests.unit.readmission.builders import BUCKET, FakeS3, client_error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "m.yaml is empty"),
        ("columns: {a", "m.yaml, line 1: this is not YAML"),
        ("- a", "line 1: the mapping must have keys with values"),
        ("file:\n  separator: ';'", "line 2: the key 'separator' of 'file' is unknown; known are delimiter, encoding"),
        ("file:\n  encoding: latin", "line 2: 'encoding' must be one of 'utf-8', 'cp1252'"),
        ("columns:\n  sex: Geschlecht", "line 2: the key 'sex' of 'columns' is unknown"),
        ("columns:\n  race: A\n  race: B", "line 3: the key 'race' of 'columns' occurs twice"),
        ("columns:\n  insulin: unknown", "line 2: 'insulin' cannot be unknown; only race, weight"),
        ("columns:\n  insulin: {always: Often}", "line 2: insulin: 'Often' is not one of Down, No, Steady, Up"),
        ("columns:\n  gender: {column: G, values:\n    {w: Weiblich}}", "line 3: gender: 'Weiblich' is not one of"),
        ("columns:\n  gender: {years: A}", "line 2: the key 'years' of 'gender' is unknown"),
        ("columns:\n  age: {born: A}", "line 2: 'age' cannot be made of born"),
        ("columns:\n  age: {years: A, format: '%Y-%m-%d'}", "line 2: 'age' cannot be made of format, years"),
        ("columns:\n  age: {born: A, admitted: B, format: '%d.%m.%y'}", "line 2: 'format': '%d.%m.%y' is not a format"),
        ("columns:\n  age: {born: A, admitted: B, format: '%Y%m%d%'}", "line 2: 'format': '%Y%m%d%' is not a format"),
        ("columns:\n  race: [A]", "line 2: 'race' must have keys with values"),
        ("ignore: A", "line 1: 'ignore' must be a list of columns"),
        ("#" * 70_000, "m.yaml has more than 65536 bytes"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(MappingInvalid) as refused:
        mapping_file.parse(text.encode(), "m.yaml")
    assert says in str(refused.value)


def test_a_mapping_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(MappingInvalid, match=r"m\.yaml is not UTF-8"):
        mapping_file.parse("columns: {race: Ä}".encode("cp1252"), "m.yaml")


def test_words_of_yaml_are_texts() -> None:
    mapping = mapping_file.parse(b"columns: {change: {column: on, values: {y: Ch, no: No}}}", "m.yaml")
    made: Any = mapping.fields["change"]
    assert (made.column, made.values) == ("on", {"y": "Ch", "no": "No"})


def test_the_hash_is_that_of_the_text() -> None:
    one, same, other = (mapping_file.parse(text, "m.yaml") for text in (b"file: {}", b"file: {}", b"file: {} "))
    assert one.digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("source", "site", "found"),
    [
        ("incoming/north/day.csv", "north", f"s3://{BUCKET}/mappings/north.yaml"),
        ("incoming/day.csv", "default", None),
        ("sources/day.csv", "north", None),
    ],
    ids=["a mapping of its own", "none", "not incoming"],
)
def test_what_arrives_is_read_by_the_mapping_of_its_site_if_there_is_one(
    source: str, site: str, found: str | None
) -> None:
    s3: Any = FakeS3(**{"mappings/north.yaml": hospital_file.mapping()})
    request = parse_request({"source": f"s3://{BUCKET}/{source}", "site": site})
    assert mapping_file.of_incoming(request, BUCKET, s3) == found


def test_a_bucket_that_does_not_say_whether_there_is_a_mapping_is_not_read_without_it() -> None:
    class Closed(FakeS3):
        def head_object(self, **_: Any) -> Any:
            raise client_error("403")

    s3: Any = Closed()
    with pytest.raises(ClientError):
        mapping_file.of_incoming(parse_request({"source": f"s3://{BUCKET}/incoming/day.csv"}), BUCKET, s3)


def test_a_mapping_is_read_from_s3() -> None:
    s3: Any = FakeS3(**{"m.yaml": hospital_file.mapping()})
    mapping = mapping_file.read(f"s3://{BUCKET}/m.yaml", "s3://bucket/stays.csv", s3)
    assert mapping is not None
    assert mapping.text.encode() == hospital_file.mapping()
    assert mapping_file.read(None, "s3://bucket/stays.csv", s3) is None


def test_a_mapping_of_synthetic_rows_is_refused() -> None:
    s3: Any = FakeS3()
    with pytest.raises(InvalidRequest, match="'mapping' has no effect"):
        mapping_file.read(f"s3://{BUCKET}/m.yaml", "synthetic:rows=5", s3)


def test_an_object_that_is_too_large_is_not_read_whole() -> None:
    s3: Any = FakeS3(**{"m.yaml": b"#" * 3_000_000})
    with pytest.raises(MappingInvalid, match="has more than 65536 bytes"):
        mapping_file.read(f"s3://{BUCKET}/m.yaml", "s3://bucket/stays.csv", s3)
