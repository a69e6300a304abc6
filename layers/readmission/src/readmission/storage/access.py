"""The databases and their users: who owns what, and who may do what.

Four roles share the work: the owner migrates the schemas of `raw` and `clean`, the pipeline reads and writes rows in
them, MLflow owns `mlflow`, and the reader reads `clean`. No other role may connect. The same code sets up a laptop and
an account on AWS, and takes over databases in which one user did everything.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pg8000.native import Connection, identifier, literal

from readmission.errors import ConfigurationError

OWNER: Final = "readmission"
PIPELINE: Final = "readmission_pipeline"
MLFLOW: Final = "readmission_mlflow"
READER: Final = "readmission_reader"
ROLES: Final = (OWNER, PIPELINE, MLFLOW, READER)
OWNERS: Final = {"raw": OWNER, "clean": OWNER, "mlflow": MLFLOW}
"""The databases, and the role that owns each."""
SECOND: Final = "_2"
"""A role's second login has its name with this at the end. Rotation gives the new password to the one not in use."""

_LOCK: Final = 7_401_302  # any number that is not used for another advisory lock in the database postgres
_ITERATIONS: Final = 4096
_ROWS: Final = "SELECT, INSERT, UPDATE, DELETE"
# The pipeline adds to the ledger and changes nothing in it; what has been migrated is the owner's business.
_NEVER_CHANGED: Final = {
    "promotion_ledger": "UPDATE, DELETE",
    "schema_migrations": "INSERT, UPDATE, DELETE",
    "erasure_salt": "INSERT, UPDATE, DELETE",  # with another salt, erased patients would come back
}
# NULL, which is not true, without the table or the role.
_HELD: Final = """
    SELECT has_table_privilege(role.oid, to_regclass(:table), :privileges)
    FROM (SELECT (SELECT oid FROM pg_roles WHERE rolname = :role)) AS role (oid)
"""
_DATABASES: Final = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database"
# Sequences that belong to a column follow their table, and an extension's objects stay the extension's.
_FOREIGN: Final = """
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
        || ' ' || format('%I.%I', nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND relowner <> CAST(:owner AS regrole)
        AND NOT EXISTS (
            SELECT FROM pg_depend
            WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i', 'e')
        )
    UNION ALL
    SELECT 'ROUTINE ' || CAST(pg_proc.oid AS regprocedure)
    FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND proowner <> CAST(:owner AS regrole)
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype IN ('i', 'e')
        )
    ORDER BY 1
"""

type Connect = Callable[[str], Connection]
"""Opens a connection of the administrator to a database. The caller of a function with it closes what it opens."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user's name and password: those of a role in `ROLES`, or of its second login."""

    user: str
    password: str = field(repr=False)

    @property
    def role(self) -> str:
        """Raises `ConfigurationError` for a user that is neither a role nor the second login of one."""
        role = self.user.removesuffix(SECOND)
        if role not in ROLES:
            raise ConfigurationError(f"the database user {self.user!r} must be one of {', '.join(ROLES)}, or end in _2")
        return role

    @property
    def other(self) -> str:
        """The login of the same role that is not this one."""
        return self.role if self.user.endswith(SECOND) else f"{self.role}{SECOND}"


def set_up(connect: Connect, logins: Sequence[Login]) -> list[str]:
    """Make roles, databases and privileges what they should be, and return the names of what was created.

    `connect` opens connections of a superuser, or of a user with CREATEROLE and CREATEDB, as RDS's master user is, that
    owns any of the databases that exist. There must be one login for each role. Safe to repeat, and to run beside
    itself.
    """
    if sorted(login.role for login in logins) != sorted(ROLES):
        raise ConfigurationError(f"there must be one login for each of {', '.join(ROLES)}")
    server = connect("postgres")
    try:
        server.run("SELECT pg_advisory_lock(:lock)", lock=_LOCK)
        created = [name for login in logins for name in _log_in(server, login)]
        for name, owner in OWNERS.items():
            created += _own_database(server, name, owner)
            _set_up_database(connect, name, owner)
    finally:
        server.close()
    return created


def change_password(connect: Connect, login: Login) -> None:
    """Give the login, which is created if it is missing, its password. Its role must exist."""
    server = connect("postgres")
    try:
        server.run("SELECT pg_advisory_lock(:lock)", lock=_LOCK)
        _log_in(server, login)
    finally:
        server.close()


def _log_in(server: Connection, login: Login) -> list[str]:
    """Makes the role and its login, and returns the names of those that were missing."""
    created = [name for name in dict.fromkeys((login.role, login.user)) if _create_role(server, name)]
    role, user = identifier(login.role), identifier(login.user)
    server.run(f"ALTER ROLE {user} LOGIN PASSWORD {literal(scram(login.password))}")
    if login.user != login.role:
        # What the second login creates belongs to the role.
        server.run(f"GRANT {role} TO {user}")
        server.run(f"ALTER ROLE {user} SET role = {literal(login.role)}")
    if login.role == READER:
        server.run(f"ALTER ROLE {user} SET default_transaction_read_only = on")
    return created


def _create_role(server: Connection, name: str) -> bool:
    if server.run("SELECT FROM pg_roles WHERE rolname = :name", name=name):
        return False
    server.run(f"CREATE ROLE {identifier(name)}")
    return True


def _own_database(server: Connection, name: str, owner: str) -> list[str]:
    """Creates the database, or hands it to its owner. Returns its name if it was missing."""
    ((superuser,),) = server.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if not superuser:
        # Only a member of a role may make it an owner.
        server.run(f"GRANT {identifier(owner)} TO CURRENT_USER")
    present = dict(server.run(_DATABASES))
    if name not in present:
        server.run(f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)}")
    elif present[name] != owner:
        server.run(f"ALTER DATABASE {identifier(name)} OWNER TO {identifier(owner)}")
    return [] if name in present else [name]


def _set_up_database(connect: Connect, name: str, owner: str) -> None:
    connection = connect(name)
    try:
        connection.run("BEGIN")
        for (thing,) in connection.run(_FOREIGN, owner=owner):
            connection.run(f"ALTER {thing} OWNER TO {identifier(owner)}")
        connection.run(f"REVOKE ALL ON DATABASE {identifier(name)} FROM PUBLIC")
        connection.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        if owner == OWNER:
            _grant(connection, name, PIPELINE, "CONNECT, TEMPORARY", _ROWS)
            protect(connection)
        if name == "clean":
            _grant(connection, name, READER, "CONNECT", "SELECT")
        connection.run("COMMIT")
    finally:
        connection.close()


def _grant(connection: Connection, database: str, role: str, on_database: str, on_tables: str) -> None:
    """For the tables that exist, and for those that the owner's later migrations create."""
    connection.run(f"GRANT {on_database} ON DATABASE {identifier(database)} TO {role}")
    connection.run(f"GRANT USAGE ON SCHEMA public TO {role}")
    connection.run(f"GRANT {on_tables} ON ALL TABLES IN SCHEMA public TO {role}")
    connection.run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT {on_tables} ON TABLES TO {role}")


def protect(connection: Connection) -> None:
    """Take from the pipeline's user what it must not change: a table that a migration creates is open to it otherwise.

    Does nothing on a server that has no such user, and where nothing is to be taken.
    """
    for table, privileges in _NEVER_CHANGED.items():
        ((excess,),) = connection.run(_HELD, table=f"public.{table}", role=PIPELINE, privileges=privileges)
        if excess:
            connection.run(f"REVOKE {privileges} ON {table} FROM {PIPELINE}")


def scram(password: str) -> str:
    """What Postgres stores of a password (RFC 5803). Sent instead of the password, which no server log then shows.

    Raises `ConfigurationError` for a password that is empty or not ASCII, which would have to be normalized first.
    """
    if not password or not password.isascii():
        raise ConfigurationError("a database password must be ASCII, and not empty")
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    parts = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *parts)
