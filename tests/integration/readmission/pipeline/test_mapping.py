"""A hospital's spreadsheet, by its mapping, on Postgres and S3."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from readmission.domain.payloads import DEFAULT_BATCH_SIZE
from readmission.errors import MappingInvalid
from readmission.pipeline import deliveries, mapping_file, synthetic, tables

from tests import hospital_file
from tests.hospital_file import HEADER
from tests.integration.readmission.conftest import BUCKETS, Stores
from tests.typed_files import json_lines, parquet, typed

BATCHES = "SELECT number, batch_id, first_row, rows FROM delivery_batch ORDER BY number"
CLEAN = """
    COPY (SELECT row_to_json(c)::jsonb - 'cleaned_at' - 'delivered_at' FROM diabetes_clean c ORDER BY encounter_id)
    TO STDOUT
"""


@dataclass(frozen=True)
class Original:
    """Rows, and what they give as a CSV with the names of the contract."""

    rows: list[list[str]]
    batch_size: int
    clean: list[bytes]
    batches: list[Any]


def put(stores: Stores, key: str, content: bytes) -> str:
    stores.s3.put_object(Bucket=BUCKETS[0], Key=key, Body=content)
    return f"s3://{BUCKETS[0]}/{key}"


def delivered(stores: Stores, lines: list[list[str]], **request: Any) -> None:
    planned = stores.plan(
        source=put(stores, "sources/stays.csv", hospital_file.spreadsheet(lines)),
        mapping=put(stores, "mappings/own.yaml", hospital_file.mapping()),
        **request,
    )
    stores.ingest(planned)
    stores.tidy(planned)


def rows_of(archive: Path | None) -> list[list[str]]:
    if archive is None:
        return list(synthetic.rows(3000, seed=5))
    with archive.open("rb") as content:
        return list(tables.read(content, archive.name, 1 << 30))


def clean_rows(stores: Stores) -> list[bytes]:
    """Each as JSON, which is compared unread: to parse 100,000 of them takes longer than to clean them."""
    content = io.BytesIO()
    stores.clean.run(CLEAN, stream=content)
    return content.getvalue().splitlines()


@pytest.fixture(scope="module")
def loaded() -> list[Original]:
    """The `original`, once a test has loaded it: with the real data, that takes a minute."""
    return []


@pytest.fixture
def original(stores: Stores, loaded: list[Original], diabetes_data: Path | None) -> Original:
    """In several batches. The databases are empty again."""
    if not loaded:
        rows, size = rows_of(diabetes_data), DEFAULT_BATCH_SIZE if diabetes_data else 1000
        stores.load(rows, batch_size=size)
        loaded.append(Original(rows, size, clean_rows(stores), stores.clean.run(BATCHES)))
        stores.empty()
    return loaded[0]


def assert_same_clean_rows(stores: Stores, original: Original) -> None:
    found = clean_rows(stores)
    assert len(found) == len(original.clean) == len(original.rows)
    # Not the lists themselves: pytest takes minutes to compare 100,000 rows that differ.
    assert [pair for pair in zip(found, original.clean, strict=True) if pair[0] != pair[1]][:1] == []


def test_the_spreadsheet_gives_the_same_clean_rows_as_the_original(stores: Stores, original: Original) -> None:
    delivered(stores, list(hospital_file.cells(original.rows)), batch_size=original.batch_size)
    assert_same_clean_rows(stores, original)


@pytest.mark.parametrize("write", [json_lines, parquet])
def test_json_lines_and_parquet_give_the_same_batches_and_clean_rows_as_a_csv(
    stores: Stores, write: Callable[[list[dict[str, Any]]], bytes], original: Original
) -> None:
    source = put(stores, "sources/stays", write([typed(row) for row in original.rows]))
    again = stores.plan(source=source, batch_size=original.batch_size)
    stores.ingest(again)
    stores.tidy(again)
    assert stores.clean.run(BATCHES) == original.batches
    assert len(original.batches) == -(-len(original.rows) // original.batch_size)
    assert_same_clean_rows(stores, original)


def test_a_row_with_wrong_dates_is_in_quarantine_and_the_others_are_clean(stores: Stores) -> None:
    lines = list(hospital_file.cells(synthetic.rows(40, seed=5)))
    lines[3][HEADER.index("Entlassung")] = "31.02.2003"
    delivered(stores, lines)
    assert stores.clean.run("SELECT row_number, reason FROM quarantine") == [
        [4, "time_in_hospital: Entlassung '31.02.2003' is not a date in the form %d.%m.%Y"]
    ]
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[39]]


def test_a_delivery_keeps_its_mapping_and_the_list_shows_the_hash(stores: Stores) -> None:
    delivered(stores, list(hospital_file.cells(synthetic.rows(40, seed=5))))
    mapping = mapping_file.parse(hospital_file.mapping(), "own.yaml")
    put(stores, "mappings/own.yaml", b"file: {}")
    assert stores.clean.run("SELECT mapping FROM delivery") == [[mapping.text]]
    (line,) = deliveries.read(stores.clean, 10)
    assert line["mapping_hash"] == mapping.digest
    assert "mapping" not in line


def test_a_delivery_without_a_mapping_has_none(stores: Stores) -> None:
    stores.load(list(synthetic.rows(40, seed=5)))
    (line,) = deliveries.read(stores.clean, 10)
    assert line["mapping_hash"] is None


def test_what_arrives_of_a_site_is_read_by_its_mapping(stores: Stores) -> None:
    rows = list(synthetic.rows(40, seed=5))
    put(stores, "mappings/north.yaml", hospital_file.mapping())
    source = put(stores, "incoming/north/stays.csv", hospital_file.spreadsheet(hospital_file.cells(rows)))
    planned = stores.plan(source=source, site="north")
    stores.ingest(planned)
    stores.tidy(planned)
    assert stores.clean.run("SELECT site, count(*) FROM diabetes_clean GROUP BY site") == [["north", 40]]
    (line,) = deliveries.read(stores.clean, 10)
    assert line["mapping_hash"] == mapping_file.parse(hospital_file.mapping(), "own.yaml").digest


def test_nothing_is_planned_by_a_mapping_that_is_wrong(stores: Stores) -> None:
    mapping = put(stores, "mappings/wrong.yaml", b"columns: {sex: G}")
    with pytest.raises(MappingInvalid, match=r"wrong\.yaml, line 1: the key 'sex'"):
        stores.plan(source="s3://bucket/stays.csv", mapping=mapping)
    assert stores.clean.run("SELECT count(*) FROM delivery") == [[0]]
