"""The export to Parquet, with a fake database that has synthetic rows and a fake bucket."""

import io
import json
from collections.abc import Iterator
from typing import IO, Any

import pandas as pd
import pyarrow.parquet
import pytest
from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS
from readmission.errors import NoTrainingData, StorageUnavailable
from readmission.evaluation import dataset
from readmission.training import parquet
from readmission.training.parquet import export, patient_of, read_manifest

from tests.unit.readmission.builders import BUCKET, client_error
from tests.unit.readmission.training.tables import encounters

TABLE = encounters(230).assign(site="default")
NUMBER = 2345635972004264651
FOLDER = "training/synthetic"


class Database:
    """Answers the statements of an export with the rows of a table, whose hashes are the numbers of its rows."""

    def __init__(self, table: pd.DataFrame = TABLE) -> None:
        self.table = table

    def run(self, sql: str, stream: IO[bytes] | None = None, **_: Any) -> list[Any]:
        if stream is not None and "row_hash" in sql:
            for number in range(len(self.table)):
                stream.write(f"{number:064}\n".encode())
        elif stream is not None:
            stream.write(self.table[list(dataset.STAY)].to_csv(index=False).encode())
        return []


class Bucket:
    """S3 with one bucket. `writes` has the keys that were written and deleted; writing to `full` fails."""

    def __init__(self, full: str = "") -> None:
        self.objects: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.full = full

    def put_object(self, *, Bucket: str, Key: str, Body: Any, ContentType: str) -> None:
        assert Bucket == BUCKET
        if self.full and Key.endswith(self.full):
            raise client_error("InternalError")
        self.objects[Key] = Body if isinstance(Body, bytes) else Body.read()
        self.writes.append(Key.rpartition("/")[2])

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        if self.objects.pop(Key, None) is not None:
            self.writes.append(f"without {Key.rpartition('/')[2]}")

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise client_error("NoSuchKey")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> "Bucket":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        found = [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]
        yield {"Contents": found} if found else {}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 100)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 20)


def _export(bucket: Bucket, table: pd.DataFrame = TABLE) -> parquet.Manifest:
    return export(Database(table), "synthetic", bucket, BUCKET)  # type: ignore[arg-type]


def _known(bucket: Bucket, rows_hash: str) -> parquet.Manifest | None:
    return read_manifest(bucket, BUCKET, "synthetic", rows_hash)  # type: ignore[arg-type]


def _tables(bucket: Bucket, manifest: parquet.Manifest) -> list[Any]:
    return [pyarrow.parquet.read_table(io.BytesIO(bucket.objects[part["key"]])) for part in manifest["parts"]]


def _frame(bucket: Bucket, manifest: parquet.Manifest) -> pd.DataFrame:
    return pyarrow.concat_tables(_tables(bucket, manifest)).to_pandas()


def test_the_parts_have_all_rows_in_order_and_no_more_than_the_limit() -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    assert [part["rows"] for part in manifest["parts"]] == [100, 100, 30]
    assert [len(table) for table in _tables(bucket, manifest)] == [100, 100, 30]
    expected = TABLE[list(dataset.STAY)]
    pd.testing.assert_frame_equal(_frame(bucket, manifest)[list(dataset.STAY)], expected, check_dtype=False)


def test_a_part_begins_with_the_models_inputs_in_their_order_and_has_one_type_for_each_column() -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    for table in _tables(bucket, manifest):
        assert table.column_names == manifest["columns"] == list(parquet.COLUMNS)
        types = {field.name: str(field.type) for field in table.schema}
        assert {types[name] for name in NUMBERS} == {"double"}
        assert {types[name] for name in CATEGORIES} == {"string"}
        assert (types["fold"], types["patient"], types["patient_nbr"]) == ("int8", "int64", "int64")
    assert manifest["columns"][: len(INPUTS) + 1] == [*INPUTS, "readmitted"]


def test_an_unknown_number_is_null_and_every_text_stays_as_it_is() -> None:
    texts = ["", "?", "NA", "None", "null", "nan", 'a "b", c', "two\nlines", "é"]
    table = TABLE.head(len(texts)).assign(payer_code=texts, has_stroke=[None, *[1.0] * (len(texts) - 1)])
    bucket = Bucket()
    found = _frame(bucket, _export(bucket, table))
    assert found["payer_code"].tolist() == texts
    assert found["has_stroke"].isna().tolist() == [True, *[False] * (len(texts) - 1)]


def test_the_manifest_has_the_format_of_the_contract_and_is_written_last() -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    assert bucket.writes == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet", "manifest.json"]
    folder = f"{FOLDER}/{manifest['rows_hash']}"
    assert json.loads(bucket.objects[f"{folder}/manifest.json"]) == manifest
    assert {**manifest, "columns": [], "rows_hash": ""} == {
        "format": 1,
        "rows": 230,
        "columns": [],
        "parts": [
            {"key": f"{folder}/part-{number:05}.parquet", "rows": rows} for number, rows in enumerate((100, 100, 30))
        ],
        "data_kind": "synthetic",
        "rows_hash": "",
    }
    assert _known(bucket, manifest["rows_hash"]) == manifest


def test_the_same_rows_give_the_same_bytes() -> None:
    first, second = Bucket(), Bucket()
    assert _export(first) == _export(second)
    assert first.objects == second.objects


def test_rows_that_are_exported_are_not_exported_again() -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    bucket.writes.clear()
    assert _export(bucket) == manifest
    assert bucket.writes == []


def test_other_rows_have_an_export_of_their_own() -> None:
    bucket = Bucket()
    first, second = _export(bucket), _export(bucket, TABLE.head(50))
    assert first["rows_hash"] != second["rows_hash"]
    assert [_known(bucket, one["rows_hash"]) for one in (first, second)] == [first, second]


@pytest.mark.parametrize("full", ["part-00001.parquet", "manifest.json"])
def test_an_export_that_broke_off_does_not_count_and_is_made_again(full: str) -> None:
    bucket = Bucket(full)
    with pytest.raises(StorageUnavailable):
        _export(bucket)
    expected = _export(Bucket())
    assert _known(bucket, expected["rows_hash"]) is None
    bucket.full = ""
    assert _export(bucket) == expected
    assert len(_frame(bucket, expected)) == 230


def test_an_export_that_has_lost_a_part_does_not_count_and_is_made_again() -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    del bucket.objects[manifest["parts"][1]["key"]]
    assert _known(bucket, manifest["rows_hash"]) is None
    assert _export(bucket) == manifest
    assert len(_frame(bucket, manifest)) == 230


@pytest.mark.parametrize("change", [{"format": 0}, {"columns": ["readmitted"]}], ids=["format", "columns"])
def test_an_export_of_another_release_is_replaced_and_never_half_replaced_under_its_manifest(
    change: dict[str, Any],
) -> None:
    bucket = Bucket()
    manifest = _export(bucket)
    bucket.objects[f"{FOLDER}/{manifest['rows_hash']}/manifest.json"] = json.dumps({**manifest, **change}).encode()
    bucket.writes.clear()
    assert _known(bucket, manifest["rows_hash"]) is None
    assert _export(bucket) == manifest
    assert bucket.writes[0] == "without manifest.json" and bucket.writes[-1] == "manifest.json"


def test_a_manifest_that_is_removed_while_it_is_read_does_not_count() -> None:
    class Vanishing(Bucket):
        def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
            yield {"Contents": [{"Key": f"{Prefix}manifest.json"}]}

    assert _known(Vanishing(), "0" * 64) is None


def test_an_export_that_ends_while_another_reads_its_rows_is_that_of_both() -> None:
    bucket = Bucket()

    class Slow(Database):
        def run(self, sql: str, stream: IO[bytes] | None = None, **settings: Any) -> list[Any]:
            if stream is not None and "row_hash" not in sql:
                manifests.append(_export(bucket))
                bucket.writes.clear()
            return super().run(sql, stream, **settings)

    manifests: list[parquet.Manifest] = []
    manifests.append(export(Slow(), "synthetic", bucket, BUCKET))  # type: ignore[arg-type]
    assert manifests[0] == manifests[1]
    assert bucket.writes == []


def test_an_export_of_no_rows_is_refused_and_leaves_nothing() -> None:
    bucket = Bucket()
    with pytest.raises(NoTrainingData, match="no synthetic clean rows to learn from"):
        _export(bucket, TABLE.head(0))
    assert bucket.objects == {}


def test_all_rows_of_a_patient_have_one_fold_and_every_fold_has_a_fifth_of_the_patients() -> None:
    bucket = Bucket()
    found = _frame(bucket, _export(bucket, TABLE.assign(patient_nbr=[number // 2 for number in range(230)])))
    assert set(found.groupby("patient_nbr")["fold"].nunique()) == {1}
    folds = [patient_of("default", number) % parquet.FOLDS for number in range(5_000)]
    assert all(900 < folds.count(fold) < 1_100 for fold in range(parquet.FOLDS))


def test_the_number_and_fold_of_a_patient_are_the_same_in_every_release_and_differ_between_sites() -> None:
    assert patient_of("default", 8222157) == NUMBER
    assert patient_of("north", 8222157) != NUMBER
    assert 0 <= NUMBER < 2**63
