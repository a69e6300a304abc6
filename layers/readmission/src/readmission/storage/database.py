"""Connections to Postgres by pg8000, with credentials from Secrets Manager, and the two forms of bulk transfer.

Bulk data moves by COPY. Where a COPY needs a parameter, it reads a transaction-local setting: COPY takes none, and
SQL is never built from values.
"""

import csv
import io
import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import batched
from typing import Any, Final, Literal

import boto3
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from readmission.errors import DatabaseUnavailable
from readmission.settings import DatabaseSettings

type Database = Literal["raw", "clean"]

# SQLSTATE classes and codes that may pass: connections, resources, operator intervention, deadlock, serialization.
_TRANSIENT: Final = ("08", "53", "57", "40001", "40P01")
_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 300
_COPY_BYTES: Final = 1 << 16
_COPY_LINES: Final = 256
_CONFLICTS: Final = ("23505", "40P01")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@contextmanager
def connect(database: Database, settings: DatabaseSettings) -> Iterator[Connection]:
    """A connection to `database`, closed at the end; what fails for a passing reason raises `DatabaseUnavailable`."""
    credentials = _credentials(settings.secret)
    try:
        sock = socket.create_connection((credentials["host"], int(credentials["port"])), _CONNECT_SECONDS)
        sock.settimeout(_ANSWER_SECONDS)
        connection = Connection(
            credentials["username"],
            password=credentials["password"],
            host=credentials["host"],
            database=database,
            ssl_context=_tls(settings),
            sock=sock,
            application_name="readmission",
        )
    except (InterfaceError, OSError, DatabaseError) as error:
        # A rotated password is a new secret: do not hold on to the old one.
        _credentials.cache_clear()
        raise DatabaseUnavailable(f"database {database!r}: {_message(error)}") from error
    try:
        yield connection
    # pg8000 makes an InterfaceError of every OSError of its own; another one (a full disk, an HTTP answer) is not ours.
    except InterfaceError as error:
        raise DatabaseUnavailable(f"database {database!r}: {error}") from error
    except DatabaseError as error:
        if _code(error).startswith(_TRANSIENT):
            raise DatabaseUnavailable(f"database {database!r}: {_message(error)}") from error
        raise
    finally:
        _close(connection)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back when anything is raised."""
    connection.run("BEGIN")
    try:
        yield
    except BaseException:
        _rollback(connection)
        raise
    connection.run("COMMIT")


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that can fail alone: whatever is raised, the transaction goes on from here."""
    connection.run("SAVEPOINT part")
    try:
        yield
    except DatabaseError:
        connection.run("ROLLBACK TO SAVEPOINT part")
        raise


def is_conflict(error: DatabaseError) -> bool:
    """Whether a row is there already, or two transactions waited for each other."""
    return _code(error) in _CONFLICTS


def text_line(fields: Sequence[str]) -> str:
    """Texts, none of them NULL, as a line of COPY's text format without its end, much faster than by csv."""
    line = "\t".join(fields)
    # Three searches for a character are faster than one for a pattern.
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") != len(fields) - 1:
        return "\t".join(field.translate(_ESCAPES) for field in fields)
    return line


def copy_lines(connection: Connection, table: str, columns: Iterable[str], lines: Iterable[str]) -> int:
    """Send lines of `text_line`, each with its end, to `table`; answers how many it took.

    The names of table and columns are the caller's own, never a value.
    """
    blocks = ("".join(some).encode() for some in batched(lines, _COPY_LINES, strict=False))
    connection.run(f"COPY {table} ({', '.join(columns)}) FROM STDIN", stream=blocks)
    count: int = connection.row_count
    return count


class Rows:
    """Rows on their way into a COPY, as CSV bytes. None becomes NULL, an empty text stays one."""

    def __init__(self) -> None:
        self.count = 0
        self._content = io.BytesIO()
        self._text = io.TextIOWrapper(self._content, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n", quoting=csv.QUOTE_NOTNULL)

    def add(self, fields: Iterable[object]) -> None:
        self._writer.writerow(fields)
        self.count += 1

    def copy_into(self, connection: Connection, table: str, columns: Iterable[str]) -> None:
        """Send all rows to `table`; the names of table and columns are the caller's own, never a value."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv)"
        connection.run(statement, stream=self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        self._text.flush()
        with self._content.getbuffer() as view:
            for start in range(0, len(view), _COPY_BYTES):
                yield bytes(view[start : start + _COPY_BYTES])


@cache
def _credentials(secret: str) -> dict[str, Any]:
    response = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
    credentials: dict[str, Any] = json.loads(response["SecretString"])
    return credentials


def _tls(settings: DatabaseSettings) -> ssl.SSLContext | Literal[False]:
    if settings.tls == "disable":
        return False  # None would try, and read all certificates of the system for that
    context = ssl.create_default_context()
    if settings.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _code(error: DatabaseError) -> str:
    detail = error.args[0] if error.args else {}
    return str(detail.get("C", "")) if isinstance(detail, dict) else ""


def _message(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return str(detail.get("M", detail)) if isinstance(detail, dict) else str(error)


def _rollback(connection: Connection) -> None:
    try:
        connection.run("ROLLBACK")
    except (InterfaceError, OSError, DatabaseError):
        # The connection is gone, and with it the transaction; the error that brought us here is the one to tell.
        return


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except (InterfaceError, OSError):
        return  # it had been lost before, and whoever used it has been told
