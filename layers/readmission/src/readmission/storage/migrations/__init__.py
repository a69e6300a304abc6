"""Ordered, recorded schema changes: `<database>/NNNN_name.sql`, each run once, in one transaction, in order.

A file that has been released is never edited; what changes is a new file.
"""

from importlib.resources import files

from pg8000.native import Connection

from readmission.storage.database import transaction

_LOCK = 7_401_299  # any number that no other advisory lock of these databases uses


def migrate(connection: Connection, database: str) -> list[str]:
    """Bring `database` up to date and return the names of the migrations that ran now; safe to run beside itself."""
    folder = files(__name__) / database
    with transaction(connection):
        connection.run("SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)
        connection.run(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {name for (name,) in connection.run("SELECT name FROM schema_migrations")}
        pending = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql") and f.name not in applied)
        for name in pending:
            connection.run((folder / name).read_text())
            connection.run("INSERT INTO schema_migrations (name) VALUES (:name)", name=name)
    return pending
