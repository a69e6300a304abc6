import pytest
from readmission.registry import store


@pytest.mark.parametrize(
    "message",
    [
        "(pg8000.dbapi.ProgrammingError) {'S': 'FATAL', 'C': '57P03', 'M': 'the database system is starting up'}",
        "BAD_REQUEST: (pg8000.dbapi.ProgrammingError) {'C': '57P01', 'M': 'terminating connection'}",
        "(pg8000.dbapi.ProgrammingError) {'C': '53300', 'M': 'sorry, too many clients already'}",
        "(pg8000.exceptions.InterfaceError) network error",
    ],
)
def test_a_database_that_cannot_answer_is_away(message: str) -> None:
    assert store.is_away(message)


@pytest.mark.parametrize("message", ["", "Registered model alias Production not found.", "{'C': '23505'}", "'57P03'"])
def test_every_other_message_is_about_the_request(message: str) -> None:
    assert not store.is_away(message)
