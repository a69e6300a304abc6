"""The mapping that a person starts from."""

import pytest
from readmission.domain.contract import NAMES
from readmission.errors import SourceMalformed
from readmission.pipeline import mapping_file
from readmission.pipeline.first_mapping import first_mapping
from readmission.pipeline.mapped_fields import Copied

from tests import hospital_file
from tests.unit.readmission.builders import table


def test_names_without_doubt_are_mapped_and_the_form_is_recognised() -> None:
    header = [name.upper().replace("_", " ") for name in NAMES]
    content = table([], header).replace(b",", b";")
    mapping = mapping_file.parse(first_mapping(content, "stays.csv").encode(), "m.yaml")
    assert (mapping.delimiter, mapping.encoding, mapping.decimal) == (";", "utf-8", ",")
    assert mapping.fields == {name: Copied(column) for name, column in zip(NAMES, header, strict=True)}


def test_a_file_with_the_names_of_the_contract_needs_no_columns() -> None:
    assert mapping_file.parse(first_mapping(table([]), "stays.csv").encode(), "m.yaml").fields == {}


def test_what_is_in_doubt_is_a_comment_with_the_choices() -> None:
    header = [*(name for name in NAMES if name not in ("num_procedures", "race")), "procedures", "num procs"]
    text = first_mapping(table([], header), "stays.csv")
    assert '  # num_procedures: "procedures" or "num procs"\n' in text
    assert "  # race: a column or unknown\n" in text
    assert '  # - "num procs"\n' in text
    assert mapping_file.parse(text.encode(), "m.yaml").fields == {}


def test_another_language_is_not_guessed() -> None:
    content = hospital_file.spreadsheet(hospital_file.cells([]))
    text = first_mapping(content, "stays.csv")
    assert "encoding: cp1252  # a guess" in text
    assert '  # - "Ethnizität"\n' in text
    mapping = mapping_file.parse(text.encode(), "m.yaml")
    assert (mapping.fields, mapping.ignored) == ({}, frozenset())


@pytest.mark.parametrize(
    ("head", "says"), [(b"PK\x03\x04", "looks like ZIP"), (b"hello\n", "has no columns"), (b"", "no columns")]
)
def test_what_is_no_table_is_refused(head: bytes, says: str) -> None:
    with pytest.raises(SourceMalformed, match=says):
        first_mapping(head, "stays")


def test_a_file_of_typed_columns_needs_no_form() -> None:
    text = first_mapping(b"PAR1", "stays.parquet", ["encounter_id", "Gender ", "Ward"])
    assert text.startswith("columns:\n") and '  gender: "Gender"' in text and '  # - "Ward"' in text
