import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import pytest
from pg8000.exceptions import DatabaseError
from readmission import settings
from readmission.domain.contract import NAMES, sql_name
from readmission.domain.splits import split_of
from readmission.errors import BatchMissing, DatabaseUnavailable, ValueOutOfRange
from readmission.pipeline.ingest import ingest, row_hash
from readmission.storage.database import connect

from tests.integration.readmission.conftest import BUCKETS, CachedCredentials, Stores, changed
from tests.platforms import Platform


def count(stores: Stores) -> int:
    ((rows,),) = stores.raw.run("SELECT count(*) FROM diabetes_raw")
    return int(rows)


def test_every_row_of_every_batch_is_loaded(stores: Stores, rows: list[list[str]]) -> None:
    results = stores.ingest(stores.deliver(rows, batch_size=15))
    assert [(result["rows"], result["added"]) for result in results] == [(15, 15), (15, 15), (10, 10)]
    assert count(stores) == 40


def test_a_row_is_stored_as_delivered_with_its_hash_batch_split_and_number(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.ingest(stores.deliver(rows, batch_size=15))
    columns = ", ".join(map(sql_name, NAMES))
    (found,) = stores.raw.run(
        "SELECT encode(row_hash, 'hex'), split, row_number, data_kind, loaded_at IS NOT NULL, length(batch_id),"
        f" {columns} FROM diabetes_raw WHERE row_number = 17"
    )
    row = rows[16]
    assert found[:6] == [row_hash(row), split_of(row[1]), 17, "real", True, 24]
    assert [str(value) for value in found[6:]] == row


def test_loading_the_same_rows_again_adds_none(stores: Stores, rows: list[list[str]]) -> None:
    stores.ingest(stores.deliver(rows))
    (again,) = stores.ingest(stores.deliver(rows))
    assert (again["added"], count(stores)) == (0, 40)


def test_rows_that_other_batches_brought_are_not_added_again_but_belong_to_both(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.ingest(stores.deliver(rows))
    results = stores.ingest(stores.deliver(rows, batch_size=7))
    assert sum(result["added"] for result in results) == 0
    assert (count(stores), stores.raw.run("SELECT count(DISTINCT batch_id) FROM diabetes_raw")) == (40, [[1]])
    shared = stores.raw.run("SELECT count(DISTINCT batch_id), count(DISTINCT row_hash), max(place) FROM shared_row")
    assert shared == [[6, 40, 6]]


def test_a_load_that_postgres_ends_in_a_deadlock_merges_again_and_loses_no_row(
    system: Platform, stores: Stores, rows: list[list[str]]
) -> None:
    """Another load holds the last row that the merge wants, and then wants one that the merge holds."""
    stores.ingest(stores.deliver(rows))
    stores.raw.run("CREATE TEMPORARY TABLE kept AS TABLE diabetes_raw")
    stores.empty()
    insert = "INSERT INTO diabetes_raw SELECT * FROM kept WHERE row_hash = decode(:row_hash, 'hex')"
    first, *others = map(row_hash, rows)
    # A row that is there already, so that the batch is merged.
    stores.raw.run(insert, row_hash=first)
    planned = stores.deliver(rows)

    def load() -> int:
        s3 = boto3.client("s3")
        with connect("raw", settings.DatabaseSettings.from_environment()) as raw:
            (result,) = replace(stores, raw=raw, s3=s3).ingest(planned)
        s3.close()
        return result["added"]

    stores.raw.run("BEGIN")
    stores.raw.run("SET LOCAL statement_timeout = '60s'")
    stores.raw.run(insert, row_hash=max(others))
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while system.query("raw", waiting) == [[0]]:
            assert not loading.done(), loading.result()
            time.sleep(0.01)
        try:
            stores.raw.run(insert, row_hash=min(others))
            by_the_other = 2
        except DatabaseError as error:  # Postgres has ended this load instead
            assert error.args[0]["C"] == "40P01"
            by_the_other = 0
        stores.raw.run("COMMIT" if by_the_other else "ROLLBACK")
        assert loading.result(60) == len(rows) - 1 - by_the_other
    assert count(stores) == len(rows)


def test_a_duplicate_row_in_a_batch_is_loaded_once(stores: Stores, rows: list[list[str]]) -> None:
    (result,) = stores.ingest(stores.deliver([*rows, rows[0]]))
    assert (result["rows"], result["added"], count(stores)) == (41, 40, 40)


def test_a_value_out_of_range_is_reported_and_none_of_its_batch_is_loaded(
    stores: Stores, rows: list[list[str]]
) -> None:
    rows[17] = changed(rows[17], time_in_hospital="-3")
    planned = stores.deliver(rows, batch_size=15)
    with pytest.raises(ValueOutOfRange, match=r"row 18, column 'time_in_hospital': '-3'"):
        stores.ingest(planned)
    assert count(stores) == 15


def test_a_database_failure_leaves_nothing_of_the_batch(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(rows)
    stores.raw.run("ALTER TABLE diabetes_raw ADD CONSTRAINT refuse CHECK (encounter_id <> 1014) NOT VALID")
    try:
        with pytest.raises(Exception, match="refuse"):
            stores.ingest(planned)
    finally:
        stores.raw.run("ALTER TABLE diabetes_raw DROP CONSTRAINT refuse")
    assert count(stores) == 0


def test_concurrent_loads_have_the_result_of_one(stores: Stores, rows: list[list[str]]) -> None:
    plans = [stores.deliver(rows, batch_size=size) for size in (40, 13, 7, 40)]

    def load(planned: dict[str, object]) -> None:
        s3 = boto3.client("s3")
        with connect("raw", settings.DatabaseSettings.from_environment()) as raw:
            for number in planned["batches"]:  # type: ignore[attr-defined]
                ingest({"manifest": str(planned["manifest"]), "batch": number}, BUCKETS[0], s3, raw)
        s3.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, plans))  # type: ignore[arg-type]
    assert count(stores) == 40


def test_quotes_commas_and_unicode_are_unchanged(stores: Stores, rows: list[list[str]]) -> None:
    odd = changed(rows[0], medical_specialty='Chirurgie, "Zürich"', payer_code="")
    stores.ingest(stores.deliver([odd]))
    assert stores.raw.run("SELECT medical_specialty, payer_code FROM diabetes_raw") == [['Chirurgie, "Zürich"', ""]]


def test_a_batch_that_is_not_in_the_manifest_is_named(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(rows)
    with pytest.raises(BatchMissing, match="batch 9 is not in the manifest"):
        ingest({"manifest": planned["manifest"], "batch": 9}, BUCKETS[0], stores.s3, stores.raw)


def test_an_unreachable_database_is_a_transient_error(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    from readmission.storage import database

    port_of_nobody = {"username": "u", "password": "p", "host": "127.0.0.1", "port": 1}
    monkeypatch.setattr(database, "_credentials", CachedCredentials(port_of_nobody))
    with (
        pytest.raises(DatabaseUnavailable, match="database 'raw'"),
        connect("raw", settings.DatabaseSettings.from_environment()),
    ):
        pass
