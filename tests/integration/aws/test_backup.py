"""The commands that docs/aws.md gives for backup and restore."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from readmission.storage import access
from readmission.storage.access import Login
from readmission.storage.migrations import migrate

from infra.local import aws
from infra.local.servers import postgres
from infra.local.settings import Settings
from tests.documents import DOCS
from tests.integration.readmission.storage.servers import running, superuser
from tests.platforms import Platform

PAGE = (DOCS / "aws.md").read_text()
DUMP = 'pg_dump --format=custom --no-owner --no-privileges --file="$DATABASE.dump" "$DATABASE"'
RESTORE = 'pg_restore --no-owner --no-privileges --exit-on-error --dbname="$DATABASE" "$DATABASE.dump"'
AWAY, BACK = 'aws s3 sync "s3://$BUCKET" artifacts', 'aws s3 sync artifacts "s3://$BUCKET"'
BUCKET = "backup-000000000000"
LOGINS = [Login(role, f"password of {role}") for role in access.ROLES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("backup") / ".local", ["-c", "fsync=off"]) as loaded:
        yield loaded


def _set_up(server: Settings) -> None:
    access.set_up(lambda name: superuser(server, name), LOGINS)


def _query(server: Settings, database: str, role: str, *statements: str) -> list[list[object]]:
    login = postgres.Database("127.0.0.1", server.postgres_port, role, f"password of {role}")
    connection = postgres.connect(login, database)
    try:
        answers: list[list[list[object]]] = [connection.run(statement) for statement in statements]
        return answers[-1]
    finally:
        connection.close()


def _run(server: Settings, command: str, database: str, folder: Path) -> None:
    owner = access.OWNERS[database]
    variables = {
        "PATH": str(postgres.binaries()),
        "DATABASE": database,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.postgres_port),
        "PGUSER": owner,
        "PGPASSWORD": f"password of {owner}",
    }
    done = subprocess.run(["/bin/sh", "-c", command], env=variables, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [DUMP, RESTORE, AWAY, BACK])
def test_the_page_gives_this_command(command: str) -> None:
    assert command in PAGE


def test_what_was_dumped_is_there_after_the_restore_with_its_owners_and_privileges(
    server: Settings, tmp_path: Path
) -> None:
    _set_up(server)
    for name in ("raw", "clean"):
        login = postgres.Database("127.0.0.1", server.postgres_port, access.OWNER, f"password of {access.OWNER}")
        connection = postgres.connect(login, name)
        migrate(connection, name)
        connection.close()
    _query(server, "clean", access.PIPELINE, "INSERT INTO batch_report (batch_id, report) VALUES ('kept', '{}')")
    _query(server, "mlflow", access.MLFLOW, "CREATE TABLE experiments (a int)", "INSERT INTO experiments VALUES (7)")
    for name in access.OWNERS:
        _run(server, DUMP, name, tmp_path)

    connection = superuser(server)
    for name in access.OWNERS:
        connection.run(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()
    _set_up(server)
    for name in access.OWNERS:
        _run(server, RESTORE, name, tmp_path)
    _set_up(server)

    assert _query(server, "clean", access.PIPELINE, "SELECT batch_id FROM batch_report") == [["kept"]]
    assert _query(server, "clean", access.READER, "SELECT count(*) FROM promotion_ledger") == [[0]]
    assert _query(server, "mlflow", access.MLFLOW, "SELECT a FROM experiments") == [[7]]
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert _query(server, "raw", access.OWNER, owners) == [[access.OWNER]]
    assert _query(server, "clean", access.OWNER, "SELECT count(*) > 0 FROM schema_migrations") == [[True]]


def test_what_was_copied_from_the_bucket_is_there_after_the_way_back(system: Platform, tmp_path: Path) -> None:
    s3 = system.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="artifacts/1/model/scorer.json", Body=b"{}")
    variables = {**os.environ, **aws.environment(system.settings), "BUCKET": BUCKET}
    for command in (AWAY, BACK):
        done = subprocess.run(["/bin/sh", "-c", command], env=variables, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if command == AWAY:
            s3.delete_object(Bucket=BUCKET, Key="artifacts/1/model/scorer.json")
    assert s3.get_object(Bucket=BUCKET, Key="artifacts/1/model/scorer.json")["Body"].read() == b"{}"
