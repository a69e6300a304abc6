from concurrent.futures import ThreadPoolExecutor

import pytest
from pg8000.native import Connection
from readmission import settings
from readmission.storage import migrations
from readmission.storage.database import connect
from readmission.storage.migrations import migrate

from tests.integration.readmission.conftest import Stores


def test_a_second_run_has_nothing_to_do(stores: Stores) -> None:
    assert migrate(stores.raw, "raw") == []


def test_every_migration_is_recorded(stores: Stores) -> None:
    assert stores.raw.run("SELECT name FROM schema_migrations ORDER BY name") == [
        ["0001_encounters.sql"],
        ["0002_batches.sql"],
    ]


def test_concurrent_runs_apply_each_migration_once(stores: Stores) -> None:
    stores.raw.run("DROP TABLE diabetes_raw, batch, shared_row, schema_migrations")

    def once(_: int) -> list[str]:
        with connect("raw", settings.DatabaseSettings.from_environment()) as connection:
            return migrate(connection, "raw")

    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(once, range(4)) for name in names]
    assert applied == ["0001_encounters.sql", "0002_batches.sql"]


def test_a_failed_migration_leaves_no_changes(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    folder = tmp_path / "raw"  # type: ignore[operator]
    folder.mkdir()
    (folder / "0003_broken.sql").write_text("CREATE TABLE half (a integer); SELECT 1 / 0;")
    monkeypatch.setattr(migrations, "files", lambda _: tmp_path)
    with pytest.raises(Exception, match="division by zero"):
        migrate(stores.raw, "raw")
    assert _tables(stores.raw) == ["batch", "diabetes_raw", "schema_migrations", "shared_row"]


def _tables(connection: Connection) -> list[str]:
    return [
        name
        for (name,) in connection.run(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        )
    ]
