"""The export to Parquet from Postgres to S3, compared with what a training reads from the same rows."""

import io
from concurrent.futures import ThreadPoolExecutor

import boto3
import pandas as pd
import pyarrow.parquet
import pytest
from readmission import settings
from readmission.errors import NoTrainingData
from readmission.evaluation import dataset
from readmission.pipeline import synthetic
from readmission.storage.database import connect
from readmission.training import parquet

from tests.integration.readmission.conftest import BUCKETS, Stores, changed


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 100)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 50)


@pytest.fixture
def two_sites(stores: Stores) -> Stores:
    """300 encounters of one site, and 120 of another that uses the same numbers for other patients."""
    rows = [list(row) for row in synthetic.rows(300, seed=4)]
    rows[0] = changed(rows[0], payer_code='a "b", c')
    stores.load(rows)
    stores.load(list(synthetic.rows(120, seed=5)), site="north")
    return stores


def _export(stores: Stores) -> parquet.Manifest:
    return parquet.export(stores.clean, "real", stores.s3, BUCKETS[0])


def _objects(stores: Stores, manifest: parquet.Manifest) -> dict[str, bytes]:
    prefix = f"training/real/{manifest['rows_hash']}/"
    listed = stores.s3.list_objects_v2(Bucket=BUCKETS[0], Prefix=prefix)["Contents"]
    return {one["Key"]: stores.s3.get_object(Bucket=BUCKETS[0], Key=one["Key"])["Body"].read() for one in listed}


def _delete(stores: Stores, manifest: parquet.Manifest, *names: str) -> None:
    for key in _objects(stores, manifest):
        if not names or key.endswith(names):
            stores.s3.delete_object(Bucket=BUCKETS[0], Key=key)


def _frame(stores: Stores, manifest: parquet.Manifest) -> pd.DataFrame:
    objects = _objects(stores, manifest)
    tables = [pyarrow.parquet.read_table(io.BytesIO(objects[part["key"]])) for part in manifest["parts"]]
    return pyarrow.concat_tables(tables).to_pandas()


def test_the_export_has_the_rows_that_a_training_reads(two_sites: Stores) -> None:
    manifest = _export(two_sites)
    found, read = _frame(two_sites, manifest), dataset.read(two_sites.clean, "real")
    assert manifest["rows"] == len(found) == len(read)
    assert manifest["rows_hash"] == dataset.rows_hash(two_sites.clean, "real")
    # A training numbers the patients of several sites anew, and reads by encounter.
    assert found.groupby("patient").ngroups == read["patient_nbr"].nunique()
    order = found.sort_values(["site", "patient_nbr"], kind="stable").index
    assert order.tolist() == list(range(len(found)))
    columns = [name for name in dataset.STAY if name != "patient_nbr"]
    pd.testing.assert_frame_equal(_sorted(found[columns]), _sorted(read[columns]), check_dtype=False)


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(list(table.columns)).reset_index(drop=True)


def test_an_export_is_made_once_and_again_after_a_new_delivery(two_sites: Stores) -> None:
    first = _export(two_sites)
    _delete(two_sites, first, "part-00000.parquet")
    assert _export(two_sites) == first
    assert len(_frame(two_sites, first)) == first["rows"]
    two_sites.load(list(synthetic.rows(30, seed=9)), site="south")
    second = _export(two_sites)
    assert second["rows_hash"] != first["rows_hash"] and second["rows"] > first["rows"]
    assert parquet.read_manifest(two_sites.s3, BUCKETS[0], "real", first["rows_hash"]) == first


def test_exports_beside_each_other_and_after_a_kill_give_the_same_bytes(two_sites: Stores) -> None:
    first = _export(two_sites)
    expected = _objects(two_sites, first)
    _delete(two_sites, first, "manifest.json", "part-00002.parquet")  # what a kill leaves behind

    def export(_: int) -> parquet.Manifest:
        with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
            return parquet.export(clean, "real", boto3.client("s3"), BUCKETS[0])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(export, range(3))) == [first] * 3
    assert _objects(two_sites, first) == expected


def test_nothing_is_exported_without_rows(stores: Stores) -> None:
    with pytest.raises(NoTrainingData):
        _export(stores)
