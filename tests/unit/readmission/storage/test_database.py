"""Transient and other failures, transactions and COPY, on fake connections."""

import csv
import io
import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection
from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.settings import DatabaseSettings
from readmission.storage import database, secrets
from readmission.storage.database import (
    KeptConnection,
    Rows,
    connect,
    copy_lines,
    is_conflict,
    savepoint,
    text_line,
    transaction,
)

SETTINGS = DatabaseSettings("secret", "disable")


class FakeConnection:
    """Records the statements that are run; those in `failures` fail."""

    def __init__(self, *_: Any, **options: Any) -> None:
        self.options = options
        self.failures: dict[str, Exception] = {}
        self.ran: list[str] = []
        self.blocks: list[bytes] = []
        self.row_count = 7
        self.closed = False

    def run(self, statement: str, stream: Any = ()) -> None:
        self.ran.append(statement)
        self.blocks += stream
        if statement in self.failures:
            raise self.failures[statement]

    def close(self) -> None:
        self.closed = True
        if "close" in self.failures:
            raise self.failures["close"]


class Server:
    """The secret, the network and the server that `connect` uses; the network raises `problem`."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.secret_problem: Exception | None = None
        self.secret = json.dumps({"host": "postgres", "port": "5432", "username": "user", "password": "password"})
        self.refusal: Exception | None = None
        self.password = "password"
        self.addresses: list[tuple[str, int]] = []
        self.secrets = 0
        self.connections: list[FakeConnection] = []

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        assert SecretId == "secret"
        self.secrets += 1
        if self.secret_problem:
            raise self.secret_problem
        return {"SecretString": self.secret}

    def network(self, address: tuple[str, int], timeout: float) -> Any:
        assert 0 < timeout <= 30
        self.addresses.append(address)
        if self.problem:
            raise self.problem
        return SimpleNamespace(settimeout=lambda _: None)

    def connection(self, *arguments: Any, **options: Any) -> FakeConnection:
        if self.refusal:
            raise self.refusal
        if options["password"] != self.password:
            raise _failed("28P01")
        self.connections.append(FakeConnection(*arguments, **options))
        return self.connections[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    fake = Server()
    monkeypatch.setattr(secrets, "boto3", SimpleNamespace(client=lambda _, config: fake))
    monkeypatch.setattr(socket, "create_connection", fake.network)
    monkeypatch.setattr(database, "_Connection", fake.connection)
    database._credentials.cache_clear()
    yield fake
    database._credentials.cache_clear()


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "…"}}, "GetSecretValue")


def _failed(code: str) -> DatabaseError:
    return DatabaseError({"S": "ERROR", "C": code, "M": "what happened"})


def test_a_connection_uses_the_secret_and_is_closed(server: Server) -> None:
    with connect("raw", SETTINGS) as connection:
        assert connection is server.connections[0]  # type: ignore[comparison-overlap]
        assert not server.connections[0].closed
    assert server.connections[0].closed
    assert server.addresses == [("postgres", 5432)]
    assert server.connections[0].options["database"] == "raw"


def test_the_secret_is_read_only_once(server: Server) -> None:
    for name in ("raw", "clean"):
        with connect(name, SETTINGS):  # type: ignore[arg-type]
            pass
    assert server.secrets == 1


@pytest.mark.parametrize(("tls", "checks"), [("disable", False), ("require", False), ("verify-full", True)])
def test_the_tls_mode_decides_whether_the_certificate_is_checked(server: Server, tls: Any, checks: bool | None) -> None:
    with connect("raw", DatabaseSettings("secret", tls)):
        context = server.connections[0].options["ssl_context"]
    assert (context and context.check_hostname) == checks


@pytest.mark.parametrize(
    "problem",
    [ConnectionRefusedError(111, "refused"), TimeoutError("timed out"), socket.gaierror("no such host")],
    ids=lambda problem: type(problem).__name__,
)
def test_an_unreachable_server_is_unavailable(server: Server, problem: Exception) -> None:
    server.problem = problem
    with pytest.raises(DatabaseUnavailable, match="database 'raw': "), connect("raw", SETTINGS):
        raise AssertionError


@pytest.mark.parametrize("refusal", [_failed("28P01"), _failed("57P03"), InterfaceError("network error")], ids=str)
def test_a_server_that_refuses_the_connection_is_unavailable(server: Server, refusal: Exception) -> None:
    server.refusal = refusal
    with pytest.raises(DatabaseUnavailable, match=r"(what happened|network error)$"), connect("raw", SETTINGS):
        raise AssertionError


def _secret(**fields: str) -> str:
    return json.dumps({"username": "user", "password": "password", **fields})


def test_a_rotated_password_is_read_and_used_at_once(server: Server) -> None:
    with connect("raw", SETTINGS):
        pass
    server.password = "rotated"
    server.secret = _secret(host="postgres", port="5432", password="rotated")
    for _ in range(2):
        with connect("raw", SETTINGS):
            assert server.secrets == 2


def test_a_login_that_fails_with_the_rotated_password_too_is_unavailable(server: Server) -> None:
    with connect("raw", SETTINGS):
        pass
    server.password = "rotated twice"
    server.secret = _secret(host="postgres", port="5432", password="rotated")
    with pytest.raises(DatabaseUnavailable, match="what happened"), connect("raw", SETTINGS):
        raise AssertionError
    assert server.secrets == 2


def test_a_secret_of_rds_with_user_and_password_alone_takes_its_address_from_the_settings(server: Server) -> None:
    server.secret = _secret()
    with connect("raw", DatabaseSettings("secret", "disable", "db.example", 6432)):
        assert server.addresses == [("db.example", 6432)]


def test_the_address_of_the_settings_comes_before_that_of_the_secret(server: Server) -> None:
    with connect("raw", DatabaseSettings("secret", "disable", "db.example", 6432)):
        assert server.addresses == [("db.example", 6432)]


def test_without_any_address_the_error_names_what_is_missing(server: Server) -> None:
    server.secret = _secret(host="postgres")
    with (
        pytest.raises(ConfigurationError, match="lacks port, and the parameter"),
        connect("raw", SETTINGS),
    ):
        raise AssertionError


def test_the_secret_is_read_again_after_a_refused_connection(server: Server) -> None:
    server.refusal = _failed("28P01")
    with pytest.raises(DatabaseUnavailable), connect("raw", SETTINGS):
        raise AssertionError
    server.refusal = None
    with connect("raw", SETTINGS):
        assert server.secrets == 2


@pytest.mark.parametrize("code", ["08006", "53300", "53100", "57P01", "57014", "40001", "40P01"])
def test_a_transient_failure_is_unavailable(server: Server, code: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="database 'raw': what happened"), connect("raw", SETTINGS):
        raise _failed(code)
    assert server.connections[0].closed


@pytest.mark.parametrize("code", ["23505", "42P01", "22021", "40002", ""])
def test_other_failures_are_passed_on_unchanged(server: Server, code: str) -> None:
    error = _failed(code)
    with pytest.raises(DatabaseError) as passed, connect("raw", SETTINGS):
        raise error
    assert passed.value is error
    assert server.connections[0].closed


def test_a_lost_connection_is_unavailable(server: Server) -> None:
    with pytest.raises(DatabaseUnavailable, match="network error"), connect("raw", SETTINGS):
        raise InterfaceError("network error")


@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), OSError(28, "No space left on device"), requests.HTTPError("404"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_an_error_outside_the_database_is_passed_on_unchanged(server: Server, error: BaseException) -> None:
    with pytest.raises(type(error)) as passed, connect("raw", SETTINGS):
        raise error
    assert passed.value is error
    assert server.connections[0].closed


def test_a_lost_connection_that_cannot_be_closed_is_ignored(server: Server) -> None:
    with connect("raw", SETTINGS):
        server.connections[0].failures["close"] = InterfaceError("connection is closed")


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), DatabaseUnavailable),
        (_refused("ThrottlingException"), DatabaseUnavailable),
        (_refused("InternalServiceError"), DatabaseUnavailable),
        (_refused("ResourceNotFoundException"), ConfigurationError),
        (_refused("AccessDeniedException"), ConfigurationError),
    ],
    ids=["no answer", "throttled", "failed", "not there", "denied"],
)
def test_a_secret_that_cannot_be_read_is_named(server: Server, problem: Exception, kind: type[Exception]) -> None:
    server.secret_problem = problem
    said = "the secret 'secret' with the database credentials cannot be read"
    with pytest.raises(kind, match=said), connect("raw", SETTINGS):
        raise AssertionError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "must be a JSON object"),
        ("5", "must be a JSON object"),
        ('{"host": "h", "username": "u"}', "lacks password"),
    ],
)
def test_a_secret_that_says_something_else_is_named(server: Server, text: str, message: str) -> None:
    server.secret = text
    with pytest.raises(ConfigurationError, match=f"the secret 'secret' .*{message}"), connect("raw", SETTINGS):
        raise AssertionError


@pytest.mark.parametrize(
    "failure",
    [InterfaceError("network error"), ConnectionResetError(104, "reset"), BrokenPipeError(32, "pipe"), EOFError("end")],
    ids=lambda failure: type(failure).__name__,
)
def test_a_statement_on_a_lost_connection_is_unavailable(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(Connection, "run", fail)
    with pytest.raises(DatabaseUnavailable, match="the connection to the database was lost: "):
        object.__new__(database._Connection).run("SELECT 1")


def test_a_transaction_is_committed_on_exit() -> None:
    connection = FakeConnection()
    with transaction(connection):  # type: ignore[arg-type]
        connection.run("INSERT")
    assert connection.ran == ["BEGIN", "INSERT", "COMMIT"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_a_transaction_is_rolled_back_whatever_is_raised(error: BaseException) -> None:
    connection = FakeConnection()
    with pytest.raises(type(error)), transaction(connection):  # type: ignore[arg-type]
        raise error
    assert connection.ran == ["BEGIN", "ROLLBACK"]


@pytest.mark.parametrize("failure", [DatabaseUnavailable("lost"), _failed("57P01")], ids=str)
def test_a_failed_rollback_does_not_hide_the_original_error(failure: Exception) -> None:
    connection = FakeConnection()
    connection.failures["ROLLBACK"] = failure
    with pytest.raises(ValueError, match="first"), transaction(connection):  # type: ignore[arg-type]
        raise ValueError("first")


def test_a_failure_after_a_savepoint_is_undone_and_the_transaction_continues() -> None:
    connection = FakeConnection()
    connection.failures["INSERT"] = _failed("23505")
    with transaction(connection):  # type: ignore[arg-type]
        with pytest.raises(DatabaseError) as error, savepoint(connection):  # type: ignore[arg-type]
            connection.run("INSERT")
        assert is_conflict(error.value)
    assert [name for name in connection.ran if name != "INSERT"] == [
        *("BEGIN", "SAVEPOINT part"),
        *("ROLLBACK TO SAVEPOINT part", "COMMIT"),
    ]


@pytest.mark.parametrize(("code", "conflict"), [("23505", True), ("40P01", True), ("22P02", False), ("57P01", False)])
def test_a_duplicate_key_and_a_deadlock_are_conflicts(code: str, conflict: bool) -> None:
    assert is_conflict(_failed(code)) is conflict


def _rows(*rows: tuple[object, ...]) -> Rows:
    found = Rows()
    for row in rows:
        found.add(row)
    return found


def _copied(rows: Rows) -> FakeConnection:
    connection = FakeConnection()
    rows.copy_into(connection, "staged", ("a", "b"))  # type: ignore[arg-type]
    return connection


def test_rows_are_copied_into_the_named_columns_of_the_table() -> None:
    assert _copied(_rows()).ran == ["COPY staged (a, b) FROM STDIN WITH (FORMAT csv)"]


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_a_copy_sends_every_row(count: int) -> None:
    rows = _rows(*((number, "é") for number in range(count)))
    assert rows.count == count
    sent = b"".join(_copied(rows).blocks).decode()
    assert sent == "".join(f'"{number}","é"\n' for number in range(count))


def test_an_empty_field_is_sent_as_an_empty_text_and_not_as_null() -> None:
    assert _copied(_rows(("", "x"))).blocks == [b'"","x"\n']


def test_fields_with_quotes_commas_and_line_breaks_are_sent_unchanged() -> None:
    row = ['say "no"', "a,b\nc\r\nd"]
    sent = b"".join(_copied(_rows(tuple(row))).blocks).decode()
    assert list(csv.reader(io.StringIO(sent, newline=""))) == [row]


def test_a_copy_sends_blocks_and_not_single_rows() -> None:
    rows = _rows(*(("x" * 94, "y") for _ in range(10_000)))
    assert len(_copied(rows).blocks) == pytest.approx(1_000_000 / 65_536, abs=1)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("", ""),
        ("a b", "a b"),
        ("\\N", r"\\N"),
        ("a\tb", r"a\tb"),
        ("a\nb", r"a\nb"),
        ("a\r", r"a\r"),
        ("a\x1fb", "a\x1fb"),
        ('ü,"', 'ü,"'),
    ],
)
def test_a_text_line_can_contain_any_text(field: str, sent: str) -> None:
    assert text_line(["first", field, "last"]) == f"first\t{sent}\tlast"


def test_lines_are_sent_in_order_and_unchanged() -> None:
    connection = FakeConnection()
    lines = [text_line([str(number), "ü"]) + "\n" for number in range(1000)]
    assert copy_lines(connection, "staged", ("a", "b"), lines) == connection.row_count  # type: ignore[arg-type]
    assert b"".join(connection.blocks).decode() == "".join(lines)


def test_a_kept_connection_is_opened_once(server: Server) -> None:
    kept = KeptConnection("clean", SETTINGS)
    assert [kept.read(lambda connection: connection) for _ in range(3)] == [server.connections[0]] * 3
    assert len(server.connections) == 1 and not server.connections[0].closed


def test_a_kept_connection_that_is_lost_is_opened_again_and_the_query_answered(server: Server) -> None:
    kept = KeptConnection("clean", SETTINGS)
    kept.read(lambda connection: connection.run("SELECT 1"))
    server.connections[0].failures["SELECT 1"] = DatabaseUnavailable("the server restarted")
    assert kept.read(lambda connection: connection.run("SELECT 1")) is None
    assert [one.closed for one in server.connections] == [True, False]
    assert server.connections[1].ran == ["SELECT 1"]


def test_a_query_that_fails_on_a_new_connection_is_not_repeated(server: Server) -> None:
    queries: list[Any] = []

    def query(connection: Any) -> None:
        queries.append(connection)
        raise InterfaceError("network error")

    with pytest.raises(DatabaseUnavailable, match="database 'clean': network error"):
        KeptConnection("clean", SETTINGS).read(query)
    assert queries == server.connections and server.connections[0].closed


def test_an_error_of_the_query_itself_is_not_repeated_and_the_next_query_has_a_new_connection(server: Server) -> None:
    kept = KeptConnection("clean", SETTINGS)
    kept.read(lambda connection: connection)
    with pytest.raises(ValueError, match="mine"):
        kept.read(lambda connection: int("mine"))
    assert kept.read(lambda connection: connection) is server.connections[1]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, {"statement_timeout": "5000"}),
        (
            {"answer_seconds": 0.25, "read_only": True},
            {"statement_timeout": "250", "default_transaction_read_only": "on"},
        ),
        ({"answer_seconds": 0.0001}, {"statement_timeout": "1"}),  # 0 would be no limit
    ],
)
def test_the_server_too_keeps_the_limits_of_a_kept_connection(
    server: Server, options: dict[str, Any], parameters: dict[str, str]
) -> None:
    KeptConnection("clean", SETTINGS, **options).read(lambda connection: connection)
    assert server.connections[0].options["startup_params"] == parameters


def test_a_kept_connection_that_was_closed_is_opened_again(server: Server) -> None:
    kept = KeptConnection("clean", SETTINGS)
    kept.close()
    kept.read(lambda connection: connection)
    kept.close()
    kept.close()
    assert kept.read(lambda connection: connection) is server.connections[1]  # type: ignore[comparison-overlap]
    assert [one.closed for one in server.connections] == [True, False]
