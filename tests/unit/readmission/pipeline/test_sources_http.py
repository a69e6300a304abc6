"""Sources on the web, with a fake response of `urlopen`."""

import io
from collections.abc import Callable
from email.message import Message
from http.client import IncompleteRead, InvalidURL, RemoteDisconnected
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from readmission.errors import SourceMalformed, SourceNotFound, SourceUnavailable
from readmission.pipeline import sources

from tests.unit.readmission.builders import FakeS3, numbered, table

SOURCE = "https://example.org/data.csv"
ROWS = numbered(3)
CONTENT = table(ROWS)

type Answer = Callable[["Response | BaseException"], list[Any]]


class Response:
    """A response: `sent` bytes arrive, followed by `error`, if any."""

    def __init__(self, content: bytes, length: str | None = None, error: Exception | None = None) -> None:
        self.headers = Message()
        if length is not None:
            self.headers["Content-Length"] = length
        self.closed = False
        self._body = io.BytesIO(content)
        self._error = error

    def read(self, size: int) -> bytes:
        chunk = self._body.read(size)
        if not chunk and self._error:
            raise self._error
        return chunk

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Read the source with this response; returns the URL and timeout of the requests, and the rows."""

    def read(response: Response | BaseException) -> list[Any]:
        asked = []

        def urlopen(request: Any, timeout: float) -> Response:
            asked.append((request.full_url, timeout))
            if isinstance(response, BaseException):
                raise response
            return response

        monkeypatch.setattr(sources.urllib.request, "urlopen", urlopen)
        with sources.open_rows(SOURCE, FakeS3()) as rows:  # type: ignore[arg-type]
            return [*asked, list(rows)]

    return read


def _http_error(code: int) -> HTTPError:
    return HTTPError(SOURCE, code, "Reason", Message(), io.BytesIO(b"sorry"))


@pytest.mark.parametrize("length", [str(len(CONTENT)), None], ids=["length-announced", "no-length"])
def test_a_complete_response_is_read(answer: Answer, length: str | None) -> None:
    assert answer(Response(CONTENT, length))[-1] == ROWS


def test_the_source_is_requested_once_and_with_a_timeout(answer: Answer) -> None:
    ((url, timeout), _) = answer(Response(CONTENT))
    assert url == SOURCE
    assert 0 < timeout <= 60


def test_the_connection_is_closed(answer: Answer) -> None:
    response = Response(CONTENT)
    answer(response)
    assert response.closed


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451])
def test_a_client_error_is_not_found(answer: Answer, code: int) -> None:
    with pytest.raises(SourceNotFound, match=f"{SOURCE} responded with {code} Reason"):
        answer(_http_error(code))


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_transient_http_error_is_unavailable(answer: Answer, code: int) -> None:
    with pytest.raises(SourceUnavailable, match=f"{SOURCE} responded with {code} Reason"):
        answer(_http_error(code))


def test_a_response_shorter_than_its_content_length_is_unavailable(answer: Answer) -> None:
    with pytest.raises(SourceUnavailable, match=f"ended after 100 of {len(CONTENT)} bytes"):
        answer(Response(CONTENT[:100], str(len(CONTENT))))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(URLError(ConnectionRefusedError(111, "refused")), id="refused"),
        pytest.param(URLError(OSError("no such host")), id="unknown-host"),
        pytest.param(TimeoutError("timed out"), id="timeout"),
        pytest.param(RemoteDisconnected("closed"), id="disconnected"),
        pytest.param(InvalidURL("port"), id="invalid-url"),
    ],
)
def test_an_unreachable_server_is_unavailable(answer: Answer, error: Exception) -> None:
    with pytest.raises(SourceUnavailable, match=f"{SOURCE} cannot be read: .") as failed:
        answer(error)
    assert failed.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [IncompleteRead(b"x", 10), ConnectionResetError(104, "reset"), TimeoutError("timed out")],
    ids=lambda error: type(error).__name__,
)
def test_an_interrupted_response_is_unavailable(answer: Answer, error: Exception) -> None:
    response = Response(CONTENT[:100], error=error)
    with pytest.raises(SourceUnavailable, match=f"{SOURCE} cannot be read: ."):
        answer(response)
    assert response.closed


def test_an_error_page_instead_of_the_data_is_rejected(answer: Answer) -> None:
    with pytest.raises((SourceMalformed, sources.ColumnsMismatch), match=SOURCE):
        answer(Response(b"<!doctype html>\n<title>Sign in</title>"))


def test_an_empty_response_is_malformed(answer: Answer) -> None:
    with pytest.raises(SourceMalformed, match="is empty"):
        answer(Response(b"", "0"))
