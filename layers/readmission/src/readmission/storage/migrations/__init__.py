"""Schema migrations: the files `<database>/NNNN_name.sql`, each of which runs once, in order.

A released migration is never edited; a change of the schema is a new file.
"""

from importlib.resources import files

from pg8000.native import Connection

from readmission.storage import access
from readmission.storage.database import transaction

_LOCK = 7_401_299  # any number that is not used for another advisory lock in these databases


def migrate(connection: Connection, database: str) -> list[str]:
    """Run the pending migrations of `database` in one transaction and return their names. Safe to run concurrently.

    What the pipeline's user must not change is taken from it in the same transaction, so it never could.
    """
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
        access.protect(connection)
    return pending
