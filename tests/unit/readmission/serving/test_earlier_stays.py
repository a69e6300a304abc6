"""Reading earlier stays, with a fake for the server; `tests/integration` has a real one."""

from typing import Any

import pytest
from pg8000.exceptions import DatabaseError
from readmission.domain.features import PATIENT_HISTORY
from readmission.errors import DatabaseUnavailable
from readmission.serving.earlier_stays import EarlierStaysInPostgres
from readmission.serving.encounters import Patient
from readmission.settings import DatabaseSettings
from readmission.storage import database

NUMBER = 87654321
ROW = [2, 1, 9, 4, 40, 14, 0, 0, 1, 9, 0, 1, "428"]


class FakeServer:
    """Answers every query with `ROW`, or raises `problem`."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.asked: list[dict[str, Any]] = []
        self.open = 0

    def connection(self, *_: Any) -> Any:
        self.open += 1
        return self

    def run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        self.asked.append(parameters)
        if self.problem:
            raise self.problem
        return [ROW for _ in parameters.get("patients", [])]

    def close(self) -> None:
        self.open -= 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(database, "open_connection", fake.connection)
    return fake


@pytest.fixture
def source(server: FakeServer) -> EarlierStaysInPostgres:
    return EarlierStaysInPostgres(DatabaseSettings("secret", "disable"), 0.25)


def test_all_patients_are_asked_for_in_one_query_and_each_gets_the_fields_of_the_history(
    server: FakeServer, source: EarlierStaysInPostgres
) -> None:
    found = source.read("real", [Patient("default", NUMBER, 55), Patient("north", 5)])
    assert server.asked == [
        {"data_kind": "real", "sites": "default,north", "patients": [NUMBER, 5], "encounters": [55, None]}
    ]
    assert [one.count for one in found] == [2, 2]
    assert found[0].fields == dict(zip(PATIENT_HISTORY, ROW, strict=True))


def test_an_error_of_the_server_has_its_code_and_not_its_text_which_may_repeat_a_number(
    server: FakeServer, source: EarlierStaysInPostgres
) -> None:
    server.problem = DatabaseError({"C": "22003", "M": f'value "{NUMBER}" is out of range'})
    with pytest.raises(DatabaseUnavailable) as raised:
        source.read("real", [Patient("default", NUMBER)])
    assert str(raised.value) == "database 'clean': SQLSTATE 22003"
    assert raised.value.__suppress_context__ and server.open == 0


def test_to_open_is_to_connect_anew(server: FakeServer, source: EarlierStaysInPostgres) -> None:
    source.open()
    source.open()
    assert server.open == 1
    source.read("real", [Patient("default", NUMBER)])
    assert server.open == 1
    source.close()
    assert server.open == 0
