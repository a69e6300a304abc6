"""Errors that any command can meet are said in a sentence; others stay visible."""

import errno
import urllib.error
from typing import Any

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError
from pg8000.exceptions import DatabaseError, InterfaceError

from infra.local import expected
from infra.local.commands import cli

URL = "http://127.0.0.1:4566/"


def _client_error(status: int) -> ClientError:
    return ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        _client_error(503),
        S3UploadFailedError("no endpoint"),
        InterfaceError("Can't create a connection to host 127.0.0.1 and port 55432"),
        DatabaseError({"C": "57P01"}),
        ConnectionResetError(104, "reset by peer"),
        urllib.error.URLError("refused"),
    ],
)
def test_a_server_that_has_gone_is_said_with_the_way_on(error: Exception) -> None:
    said = expected.sentence(error)
    assert said is not None and said.startswith("A server of the platform does not answer: ")
    assert "make up" in said and "make status" in said


@pytest.mark.parametrize(
    "error",
    [
        _client_error(400),
        DatabaseError({"C": "42P01"}),
        ParamValidationError(report="x"),
        FileNotFoundError(2, "x"),
        KeyError("x"),
    ],
)
def test_other_errors_are_unexpected(error: Exception) -> None:
    assert expected.sentence(error) is None


def test_a_full_disk_is_said_with_its_file() -> None:
    said = expected.sentence(OSError(errno.ENOSPC, "No space left on device", "/data/file"))
    assert said == "The disk is full (/data/file). Make space, then run the same command again."


# Of the commands that need some.
PATIENT = ["8222157", "--site", "default"]
ARGUMENTS = {
    "check-source": ["stays.csv"],
    "erase": PATIENT,
    "find-patient": PATIENT,
    "install": ["prometheus"],
    "rebuild": ["1"],
    "recalibrate": ["north"],
    "replay": ["1"],
    "withdraw": ["a-delivery"],
}


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_says_it(
    command: cli.Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=URL)

    broken = cli.Command(command.name, command.help, fail, command.add_arguments)
    monkeypatch.setattr(cli, "COMMANDS", (broken,))
    monkeypatch.setattr(cli.environment, "isolate", lambda: None)
    assert cli.main([command.name, *ARGUMENTS.get(command.name, [])]) == 1
    captured = capsys.readouterr()
    assert URL in captured.err and "Traceback" not in captured.err
