from concurrent.futures import ThreadPoolExecutor

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from readmission import settings
from readmission.evaluation.dataset import rows_hash
from readmission.pipeline import deliveries
from readmission.pipeline.deliveries import Delivery, UsedMapping
from readmission.storage import migrations
from readmission.storage.database import connect
from readmission.storage.migrations import migrate

from tests.integration.readmission.conftest import Stores, changed, hashes_as_digits


def test_a_second_run_has_nothing_to_do(stores: Stores) -> None:
    assert migrate(stores.raw, "raw") == []


def test_every_migration_is_recorded(stores: Stores) -> None:
    assert stores.raw.run("SELECT name FROM schema_migrations ORDER BY name") == [
        ["0001_encounters.sql"],
        ["0002_batches.sql"],
        ["0003_erasures.sql"],
        ["0004_diagnosis_versions.sql"],
        ["0005_row_hash_bytes.sql"],
    ]


def test_concurrent_runs_apply_each_migration_once(stores: Stores) -> None:
    stores.raw.run("DROP TABLE diabetes_raw, batch, shared_row, erasure, erasure_salt, schema_migrations")

    def once(_: int) -> list[str]:
        with connect("raw", settings.DatabaseSettings.from_environment()) as connection:
            return migrate(connection, "raw")

    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(once, range(4)) for name in names]
    assert applied == [
        *("0001_encounters.sql", "0002_batches.sql", "0003_erasures.sql", "0004_diagnosis_versions.sql"),
        "0005_row_hash_bytes.sql",
    ]


def test_a_failed_migration_leaves_no_changes(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    folder = tmp_path / "raw"  # type: ignore[operator]
    folder.mkdir()
    (folder / "9999_broken.sql").write_text("CREATE TABLE half (a integer); SELECT 1 / 0;")
    monkeypatch.setattr(migrations, "files", lambda _: tmp_path)
    with pytest.raises(Exception, match="division by zero"):
        migrate(stores.raw, "raw")
    assert _tables(stores.raw) == [
        *("batch", "diabetes_raw", "erasure", "erasure_salt", "schema_migrations", "shared_row")
    ]


def test_rows_of_an_earlier_release_get_the_normal_form_of_a_diagnosis(stores: Stores, rows: list[list[str]]) -> None:
    stores.load([changed(rows[0], diag_1="038.9", diag_2="8", diag_3="?"), rows[1]])
    assert _categories(stores.clean, "diabetes_clean")[0] == ["38", "8", "?"]
    expected = {table: _categories(stores.clean, table) for table in ("diabetes_clean", "clean_row")}
    for table in expected:
        stores.clean.run(
            f"UPDATE {table} SET diag_1_category = '038', diag_2_category = '008' WHERE diag_3_category = '?'"
        )
    stores.clean.run("DELETE FROM schema_migrations WHERE name = '0007_diagnosis_categories.sql'")
    assert migrate(stores.clean, "clean") == ["0007_diagnosis_categories.sql"]
    assert {table: _categories(stores.clean, table) for table in expected} == expected


def test_rows_of_an_earlier_release_stay_as_they_are_and_get_their_diagnoses_when_they_are_cleaned_again(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load([changed(rows[0], diag_1="V57", diag_2="250.83", diag_3="?"), *rows[1:]])
    expected = _diagnoses(stores.clean)
    assert ["V57", "250.83", "?", "icd9"] in expected
    data = rows_hash(stores.clean, "real")
    _without_versions(stores)
    assert migrate(stores.raw, "raw") == ["0004_diagnosis_versions.sql"]
    assert migrate(stores.clean, "clean") == ["0012_diagnosis_versions.sql"]
    assert _diagnoses(stores.clean) == [[None] * 4] * len(rows) and rows_hash(stores.clean, "real") == data
    stores.tidy(stores.plan(start_at="clean"))
    assert _diagnoses(stores.clean) == expected and rows_hash(stores.clean, "real") == data


def test_deliveries_of_an_earlier_release_have_no_mapping_and_are_told_from_new_ones(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load(rows)
    before = _deliveries(stores.clean)
    stores.clean.run("ALTER TABLE delivery DROP COLUMN mapping_hash, DROP COLUMN mapping")
    stores.clean.run("DELETE FROM schema_migrations WHERE name = '0013_mappings.sql'")
    assert migrate(stores.clean, "clean") == ["0013_mappings.sql"]
    assert _deliveries(stores.clean) == before and [one[-2:] for one in before] == [[None, None]]
    new = Delivery("new", "real", "default", "s3://b/new.csv", "2026-02-01T00:00:00Z")
    deliveries.register(stores.clean, new, [], UsedMapping(hash="a1", text="columns:"))
    listed = {one["delivery_id"]: one["mapping_hash"] for one in deliveries.read(stores.clean, 10)}
    assert listed == {"new": "a1", before[0][0]: None}
    assert stores.clean.run("SELECT mapping FROM delivery WHERE delivery_id = 'new'") == [["columns:"]]


def test_rows_of_the_release_before_keep_their_hashes_and_are_known_when_they_come_again(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.ingest(stores.deliver(rows))
    stores.ingest(stores.deliver(rows, batch_size=7))  # every row is shared
    before = _hashes(stores.raw)
    hashes_as_digits(stores.raw)
    assert migrate(stores.raw, "raw") == ["0005_row_hash_bytes.sql"]
    assert _hashes(stores.raw) == before and all(len(one) == 32 for (one,) in before)
    assert sum(one["added"] for one in stores.ingest(stores.deliver(rows, batch_size=11))) == 0
    assert stores.raw.run("SELECT count(*) FROM diabetes_raw") == [[len(rows)]]


def test_the_digits_that_a_load_of_the_release_before_writes_are_refused(stores: Stores) -> None:
    with pytest.raises(DatabaseError, match="shared_row_row_hash_check"):
        stores.raw.run("INSERT INTO shared_row (batch_id, row_hash, place) VALUES ('id', :digits, 1)", digits="a1" * 32)
    checked = "SELECT conname FROM pg_constraint WHERE conrelid = CAST('diabetes_raw' AS regclass) AND contype = 'c'"
    assert ["diabetes_raw_row_hash_check"] in stores.raw.run(checked)


def _hashes(raw: Connection) -> list[list[bytes]]:
    rows: list[list[bytes]] = raw.run(
        "SELECT row_hash FROM diabetes_raw UNION ALL SELECT row_hash FROM shared_row ORDER BY 1"
    )
    return rows


def _deliveries(clean: Connection) -> list[list[str | None]]:
    rows: list[list[str | None]] = clean.run(
        "SELECT delivery_id, data_kind, site, source, mapping_hash, mapping FROM delivery ORDER BY delivery_id"
    )
    return rows


def test_a_stack_of_the_release_before_gets_the_table_of_feedback(stores: Stores) -> None:
    stores.clean.run("DROP TABLE feedback")
    stores.clean.run("DELETE FROM schema_migrations WHERE name = '0014_feedback.sql'")
    assert migrate(stores.clean, "clean") == ["0014_feedback.sql"]
    assert stores.clean.run("SELECT count(*) FROM feedback") == [[0]]


def _without_versions(stores: Stores) -> None:
    """Make the databases those of the release before."""
    stores.raw.run("ALTER TABLE diabetes_raw DROP COLUMN diag_version")
    for table in ("diabetes_clean", "clean_row"):
        for name in ("diag_1", "diag_2", "diag_3", "diag_version"):
            stores.clean.run(f"ALTER TABLE {table} DROP COLUMN {name}")
    for connection in (stores.raw, stores.clean):
        connection.run("DELETE FROM schema_migrations WHERE name LIKE '%diagnosis_versions.sql'")


def _diagnoses(clean: Connection) -> list[list[str | None]]:
    rows: list[list[str | None]] = clean.run(
        "SELECT diag_1, diag_2, diag_3, diag_version FROM diabetes_clean ORDER BY encounter_id"
    )
    return rows


def _categories(clean: Connection, table: str) -> list[list[str]]:
    rows: list[list[str]] = clean.run(
        f"SELECT diag_1_category, diag_2_category, diag_3_category FROM {table} ORDER BY diag_3_category <> '?', 1, 2"
    )
    return rows


def _tables(connection: Connection) -> list[str]:
    return [
        name
        for (name,) in connection.run(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        )
    ]
