"""Who may do what in the databases, on a real server."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from readmission.errors import ConfigurationError
from readmission.storage import access
from readmission.storage.access import MLFLOW, OWNER, PIPELINE, READER, ROLES, Login
from readmission.storage.migrations import migrate

from infra.local.servers import postgres
from infra.local.settings import Settings
from tests.integration.readmission.storage.servers import running, superuser

DENIED = ("42501", "28000")
LOGINS = [Login(role, f"password of {role}") for role in ROLES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("access") / ".local", ["-c", "fsync=off"]) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def empty(server: Settings) -> None:
    """No databases and roles but the server's own."""
    connection = superuser(server)
    for name in access.OWNERS:
        connection.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    for (name,) in connection.run("SELECT rolname FROM pg_roles WHERE rolname ~ '^(readmission|master)'"):
        connection.run(f"DROP OWNED BY {name}")
    for (name,) in connection.run("SELECT rolname FROM pg_roles WHERE rolname ~ '^(readmission|master)'"):
        connection.run(f"DROP ROLE {name}")
    connection.close()


@contextmanager
def session(server: Settings, database: str, user: str, password: str | None = None) -> Iterator[Connection]:
    login = postgres.Database("127.0.0.1", server.postgres_port, user, password or f"password of {user}")
    connection = postgres.connect(login, database)
    try:
        yield connection
    finally:
        connection.close()


def may(server: Settings, user: str, database: str, statement: str) -> bool:
    try:
        with session(server, database, user) as connection:
            connection.run(statement)
    except DatabaseError as error:
        assert error.args[0]["C"] in (*DENIED, "25006"), error
        return False
    return True


def set_up(server: Settings) -> list[str]:
    return access.set_up(lambda name: superuser(server, name), LOGINS)


def migrated(server: Settings) -> None:
    for name in ("raw", "clean"):
        with session(server, name, OWNER) as connection:
            migrate(connection, name)


def test_roles_and_databases_are_created_once(server: Settings) -> None:
    assert sorted(set_up(server)) == sorted([*ROLES, "raw", "clean", "mlflow"])
    assert set_up(server) == []


@pytest.mark.parametrize(
    ("user", "databases"),
    [(OWNER, {"raw", "clean"}), (PIPELINE, {"raw", "clean"}), (MLFLOW, {"mlflow"}), (READER, {"clean"})],
)
def test_a_user_can_connect_to_its_databases_alone(server: Settings, user: str, databases: set[str]) -> None:
    set_up(server)
    assert {name for name in access.OWNERS if may(server, user, name, "SELECT 1")} == databases


def test_what_a_later_migration_creates_is_open_to_the_pipeline_and_to_the_reader(server: Settings) -> None:
    set_up(server)
    migrated(server)
    assert may(server, PIPELINE, "raw", "DELETE FROM diabetes_raw")
    assert may(server, PIPELINE, "clean", "DELETE FROM diabetes_clean")
    assert may(server, PIPELINE, "clean", "CREATE TEMPORARY TABLE staged (a int)")
    assert may(server, READER, "clean", "SELECT FROM promotion_ledger")


def test_only_the_owner_changes_the_schema(server: Settings) -> None:
    set_up(server)
    migrated(server)
    for user in (PIPELINE, READER):
        assert not may(server, user, "clean", "CREATE TABLE another (a int)")
        assert not may(server, user, "clean", "DROP TABLE diabetes_clean")
        assert not may(server, user, "clean", "ALTER TABLE promotion_ledger DISABLE TRIGGER ALL")


def test_the_reader_writes_nothing(server: Settings) -> None:
    set_up(server)
    migrated(server)
    assert not may(server, READER, "clean", "DELETE FROM diabetes_clean")
    assert not may(server, READER, "clean", "CREATE TEMPORARY TABLE staged (a int)")
    # Not even after it has made its session writable.
    assert not may(server, READER, "clean", "SET default_transaction_read_only = off; DELETE FROM diabetes_clean")


def test_the_ledger_and_the_list_of_migrations_are_not_the_pipelines_to_change(server: Settings) -> None:
    """As soon as a migration has created them."""
    set_up(server)
    migrated(server)
    assert not may(server, PIPELINE, "clean", "DELETE FROM promotion_ledger")
    assert not may(server, PIPELINE, "clean", "UPDATE promotion_ledger SET reason = ''")
    assert not may(server, PIPELINE, "clean", "DELETE FROM schema_migrations")
    assert may(server, PIPELINE, "clean", "SELECT FROM promotion_ledger")


def test_the_pipeline_reads_the_salt_of_erased_patients_and_cannot_change_it(server: Settings) -> None:
    set_up(server)
    with session(server, "raw", OWNER) as connection:
        migrate(connection, "raw")
    assert may(server, PIPELINE, "raw", "SELECT salt FROM erasure_salt")
    assert may(server, PIPELINE, "raw", "DELETE FROM erasure")
    assert not may(server, PIPELINE, "raw", "UPDATE erasure_salt SET salt = ''")
    assert not may(server, PIPELINE, "raw", "DELETE FROM erasure_salt")


def test_a_migration_takes_back_what_an_earlier_release_left_to_the_pipeline(server: Settings) -> None:
    set_up(server)
    migrated(server)
    with session(server, "clean", OWNER) as connection:
        connection.run(f"GRANT UPDATE, DELETE ON promotion_ledger TO {PIPELINE}")
        assert migrate(connection, "clean") == []
    assert not may(server, PIPELINE, "clean", "UPDATE promotion_ledger SET reason = ''")
    assert may(server, PIPELINE, "clean", "SELECT FROM promotion_ledger")


def test_an_administrator_like_that_of_rds_sets_everything_up(server: Settings) -> None:
    """Not a superuser, but CREATEROLE and CREATEDB."""
    connection = superuser(server)
    connection.run(f"CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD '{access.scram('password of master')}'")
    connection.close()

    def master(name: str) -> Connection:
        login = postgres.Database("127.0.0.1", server.postgres_port, "master", "password of master")
        return postgres.connect(login, name)

    assert len(access.set_up(master, LOGINS)) == 7
    migrated(server)
    assert access.set_up(master, LOGINS) == []
    assert may(server, PIPELINE, "clean", "DELETE FROM diabetes_clean")
    assert may(server, READER, "clean", "SELECT FROM diabetes_clean")
    assert not may(server, READER, "raw", "SELECT 1")
    assert may(server, MLFLOW, "mlflow", "CREATE TABLE experiments (a int)")


@pytest.mark.parametrize("administrator", ["readmission", "master"])
def test_a_platform_in_which_one_user_did_everything_is_taken_along(server: Settings, administrator: str) -> None:
    """With its rows: on the laptop that was the role readmission, on a server of one's own any."""
    connection = superuser(server)
    connection.run(f"CREATE ROLE {administrator} LOGIN PASSWORD '{access.scram(f'password of {administrator}')}'")
    for name in access.OWNERS:
        connection.run(f"CREATE DATABASE {name} OWNER {administrator}")
    connection.close()
    for name in ("raw", "clean"):
        with session(server, name, administrator) as connection:
            migrate(connection, name)
    with session(server, "mlflow", administrator) as connection:
        connection.run("CREATE TABLE experiments (number bigserial, name text)")
        connection.run("INSERT INTO experiments (name) VALUES ('kept')")
        connection.run("CREATE VIEW named AS SELECT name FROM experiments")
    with session(server, "clean", administrator) as connection:
        connection.run("INSERT INTO batch_report (batch_id, report) VALUES ('kept', '{}')")

    set_up(server)
    assert may(server, MLFLOW, "mlflow", "ALTER TABLE experiments ADD COLUMN another int")
    with session(server, "mlflow", MLFLOW) as connection:
        connection.run("INSERT INTO experiments (name) VALUES ('new')")
        assert connection.run("SELECT name FROM named") == [["kept"], ["new"]]
    with session(server, "clean", OWNER) as connection:
        assert migrate(connection, "clean") == []
        connection.run("CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
    with session(server, "clean", PIPELINE) as connection:
        assert connection.run("SELECT batch_id FROM batch_report") == [["kept"]]
    assert not may(server, PIPELINE, "clean", "DROP TABLE batch_report")
    if administrator != OWNER:
        assert not may(server, administrator, "clean", "SELECT 1")


def test_a_second_login_does_all_that_the_role_does_while_the_first_still_works(server: Settings) -> None:
    set_up(server)
    second = Login(LOGINS[2].other, f"password of {LOGINS[2].other}")
    access.change_password(lambda name: superuser(server, name), second)
    with session(server, "mlflow", second.user) as connection:
        connection.run("CREATE TABLE made_by_the_second (a int)")
    assert may(server, MLFLOW, "mlflow", "DROP TABLE made_by_the_second")
    logins = [second if login.role == MLFLOW else login for login in LOGINS]
    assert access.set_up(lambda name: superuser(server, name), logins) == []
    assert may(server, second.user, "mlflow", "CREATE TABLE made_by_the_second (a int)")


def test_the_second_login_of_the_reader_reads_only(server: Settings) -> None:
    set_up(server)
    migrated(server)
    second = Login(f"{READER}_2", f"password of {READER}_2")
    access.change_password(lambda name: superuser(server, name), second)
    assert may(server, second.user, "clean", "SELECT FROM diabetes_clean")
    with session(server, "clean", second.user) as connection:
        assert connection.run("SHOW default_transaction_read_only") == [["on"]]


def test_a_login_must_be_of_a_role_and_there_must_be_one_for_each(server: Settings) -> None:
    with pytest.raises(ConfigurationError, match="'postgres' must be one of"):
        access.change_password(lambda name: superuser(server, name), Login("postgres", "password"))
    with pytest.raises(ConfigurationError, match="one login for each of readmission"):
        access.set_up(lambda name: superuser(server, name), LOGINS[1:])


@pytest.mark.parametrize("password", ["", "pässword"])
def test_a_password_that_cannot_be_hashed_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigurationError, match="must be ASCII, and not empty"):
        access.scram(password)
    assert "word" not in repr(Login(OWNER, "word"))
