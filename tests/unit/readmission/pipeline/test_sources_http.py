"""Sources on the web: limits, allowed addresses, and errors that repeat nothing of what a server sends."""

import datetime
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from readmission.errors import (
    ColumnsMismatch,
    InvalidRequest,
    SourceLimitExceeded,
    SourceMalformed,
    SourceNotFound,
    SourceUnavailable,
)
from readmission.pipeline import download, sources
from readmission.settings import SourceSettings

from tests.unit.readmission.builders import FakeS3, numbered, table
from tests.unit.readmission.pipeline.web import PUBLIC, Web, response, web

__all__ = ["web"]

SOURCE = "http://example.org/data.csv"
ROWS = numbered(3)
CONTENT = table(ROWS)
LENGTH = f"Content-Length: {len(CONTENT)}"
OK = response(CONTENT, LENGTH)
HTTP = SourceSettings(max_bytes=100_000, max_seconds=20, allow_http=True)
FOREIGN = "internal-secret"


def _read(source: str = SOURCE, settings: SourceSettings = HTTP) -> list[list[str]]:
    with sources.open_rows(source, FakeS3(), settings) as rows:  # type: ignore[arg-type]
        return list(rows)


def _refused(kind: type[Exception], source: str = SOURCE, settings: SourceSettings = HTTP) -> str:
    with pytest.raises(kind) as refused:
        _read(source, settings)
    assert refused.type is kind
    assert FOREIGN not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([OK], id="length-announced"),
        pytest.param([response(CONTENT)], id="no-length"),
        pytest.param([OK[:50], OK[50:]], id="in-pieces"),
        pytest.param(
            [response(b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT), "Transfer-Encoding: chunked")], id="chunked"
        ),
        pytest.param([response(status="100 Continue") + OK], id="continue"),
    ],
)
def test_a_complete_response_is_read(web: Web, answer: list[bytes]) -> None:
    web.answers = [answer]
    assert _read() == ROWS


def test_the_source_is_requested_once_from_its_address(web: Web) -> None:
    web.answers = [[OK]]
    _read(f"{SOURCE}?a=b")
    (request,) = web.requests
    assert request.startswith("GET /data.csv?a=b HTTP/1.1\r\n")
    assert "\r\nHost: example.org\r\n" in request
    assert web.connected == [(PUBLIC, 80)]


def test_the_connection_is_closed(web: Web) -> None:
    web.answers = [[OK]]
    _read()
    assert [one.fileno() for one in web.sockets] == [-1]


def test_user_and_password_are_sent_but_not_shown(web: Web) -> None:
    web.answers = [[OK], [response(status="403 Forbidden")]]
    source = "http://user:secret@example.org/data.csv?sig=secret"
    assert _read(source) == ROWS
    assert "\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n" in web.requests[0]
    assert _refused(SourceNotFound, source) == ("http://***@example.org/data.csv?sig=*** responded with 403 Forbidden")


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451, 300, 304])
def test_a_client_error_is_not_found(web: Web, code: int) -> None:
    web.answers = [[response(status=f"{code} {FOREIGN}")]]
    assert _refused(SourceNotFound).startswith(f"{SOURCE} responded with {code} ")


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504, 599])
def test_a_transient_http_error_is_unavailable(web: Web, code: int) -> None:
    web.answers = [[response(status=f"{code} {FOREIGN}")]]
    assert _refused(SourceUnavailable).startswith(f"{SOURCE} responded with {code}")


def test_a_response_shorter_than_its_content_length_is_unavailable(web: Web) -> None:
    web.answers = [[response(CONTENT[:100], LENGTH)]]
    assert f"ended after 100 of {len(CONTENT)} bytes" in _refused(SourceUnavailable)


def test_a_broken_off_chunk_is_unavailable(web: Web) -> None:
    web.answers = [[response(b"fff\r\n" + CONTENT[:100], "Transfer-Encoding: chunked")]]
    assert "cannot be read: the transfer was interrupted" in _refused(SourceUnavailable)


@pytest.mark.parametrize("length", ["abc", "-1", "+5", "1_000", "9" * 30, "5, 5"])
def test_an_invalid_content_length_is_an_invalid_request(web: Web, length: str) -> None:
    web.answers = [[response(CONTENT, f"Content-Length: {length}")]]
    assert "an invalid Content-Length" in _refused(InvalidRequest)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(ConnectionRefusedError(111, "Connection refused"), "Connection refused", id="refused"),
        pytest.param(TimeoutError("timed out"), "timed out", id="timeout"),
        pytest.param([], "closed connection", id="disconnected"),
        pytest.param([f"220 {FOREIGN}\r\n".encode()], "valid HTTP", id="another-protocol"),
        pytest.param([f"HTTP/1.1 {FOREIGN}\r\n\r\n".encode()], "valid HTTP", id="no-status"),
        pytest.param([b"HTTP/1.1 200 " + b"x" * 70_000], "valid HTTP", id="endless-status"),
    ],
)
def test_an_unusable_server_is_unavailable(web: Web, answer: Any, says: str) -> None:
    web.answers = [answer]
    message = _refused(SourceUnavailable)
    assert message.startswith(f"{SOURCE} cannot be read: ")
    assert says in message


def test_an_unknown_host_is_unavailable(web: Web) -> None:
    assert "the host name is not known" in _refused(SourceUnavailable, "http://nowhere.example/")


def test_the_next_address_is_tried_if_one_does_not_answer(web: Web) -> None:
    web.names = {"two.example": ["2606:2800:21f::1", PUBLIC]}
    web.answers = [ConnectionRefusedError(111, "refused"), [OK]]
    assert _read("http://two.example/") == ROWS
    assert [address for address, _ in web.connected] == ["2606:2800:21f::1", PUBLIC]


# ---------------------------------------------------------------- limits
def test_a_file_that_announces_too_much_is_not_downloaded(web: Web) -> None:
    web.answers = [[response(b"", "Content-Length: 100001")]]
    assert _refused(SourceLimitExceeded) == f"{SOURCE} is larger than the 0.1 MB that MaxSourceMegabytes allows"


def test_a_source_that_never_ends_is_stopped_at_the_limit(web: Web) -> None:
    web.answers = [_endless(b"x" * 65_536)]
    assert "MaxSourceMegabytes" in _refused(SourceLimitExceeded)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(b"", b"H", id="status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X", id="headers"),
        pytest.param(response(), b"X", id="body"),
        pytest.param(response(b"", "Content-Length: 90000"), b"X", id="body-of-known-length"),
        pytest.param(response(b"fff\r\n", "Transfer-Encoding: chunked"), b"X", id="chunk"),
        pytest.param(response(b"", "Transfer-Encoding: chunked"), b"1\r\nX\r\n", id="chunks"),
    ],
)
def test_a_source_that_drips_is_stopped_when_the_time_is_up(web: Web, head: bytes, piece: bytes) -> None:
    web.answers = [_dripping(head, piece)]
    settings = SourceSettings(max_seconds=0.3, allow_http=True)
    assert _refused(SourceLimitExceeded, settings=settings) == (
        f"{SOURCE} takes longer to download than the 0.3 s that MaxSourceSeconds allows"
    )


def _endless(piece: bytes) -> Iterator[bytes]:
    yield response()
    yield from repeat(piece)


def _dripping(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    while True:
        time.sleep(0.02)
        yield piece


# ---------------------------------------------------------------- where a source may be
REFUSED = [
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fd00:ec2::254",
    "fe80::1",
    "fc00::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", REFUSED)
def test_a_name_of_an_address_that_is_not_public_is_refused_before_a_connection(web: Web, address: str) -> None:
    web.names = {"inside.example": [address]}
    assert "not public; AllowPrivateSources is off" in _refused(InvalidRequest, "http://inside.example/")
    assert web.connected == []


def test_a_name_with_public_and_private_addresses_is_refused(web: Web) -> None:
    web.names = {"mixed.example": [PUBLIC, "10.0.0.1"]}
    assert "not public" in _refused(InvalidRequest, "http://mixed.example/")


def test_private_addresses_can_be_allowed(web: Web) -> None:
    web.names = {"inside.example": ["127.0.0.1"]}
    web.answers = [[OK]]
    settings = SourceSettings(allow_http=True, allow_private=True)
    assert _read("http://inside.example/", settings) == ROWS


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "fe80::1"])
def test_the_metadata_of_a_cloud_is_never_a_source(address: str) -> None:
    assert not download.is_allowed(ip_address(address), private=True)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f::1", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert download.is_allowed(ip_address(address), private=False)


def test_http_is_refused_by_default(web: Web) -> None:
    assert "AllowHttpSources is off" in _refused(InvalidRequest, settings=SourceSettings())
    assert web.connected == []


def test_a_redirect_is_followed(web: Web) -> None:
    web.answers = [[response(b"", "Location: /moved.csv", status="302 Found")], [OK]]
    assert _read() == ROWS
    assert web.requests[1].startswith("GET /moved.csv ")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        f"http://{FOREIGN}.example/",
        f"file:///etc/{FOREIGN}",
        f"ftp://{FOREIGN}/",
        f"http://{FOREIGN}:99999/",
        f"http://[{FOREIGN}",
        f"http://[{FOREIGN}]/",
        f"http://example.org/{FOREIGN} x",
    ],
)
def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(web: Web, location: str) -> None:
    web.names = {f"{FOREIGN}.example": ["10.1.2.3"], "127.0.0.1": ["127.0.0.1"], "::1": ["::1"]}
    web.answers = [[response(b"", f"Location: {location}", status="302 Found")]]
    assert SOURCE in _refused(InvalidRequest)
    assert len(web.connected) == 1


def test_a_redirect_from_https_to_http_is_refused() -> None:
    before = download.parse("https://example.org/", SourceSettings())
    with pytest.raises(InvalidRequest, match="redirects to an address that is refused: it must start with https://"):
        download._redirected("https://example.org/", "http://example.org/", before, "…", SourceSettings())


def test_a_redirect_to_another_server_does_not_get_the_password(web: Web) -> None:
    web.answers = [
        [response(b"", "Location: http://example.org/b", status="301 Moved")],
        [response(b"", "Location: http://other.example.org/c", status="307 Moved")],
        [OK],
    ]
    assert _read("http://user:secret@example.org/a") == ROWS
    assert ["Authorization: Basic" in request for request in web.requests] == [True, True, False]


def test_a_circle_of_redirects_ends(web: Web) -> None:
    web.answers = [[response(b"", "Location: /data.csv", status="302 Found")]] * 9
    assert "redirects more than 5 times" in _refused(SourceUnavailable)
    assert len(web.connected) == 6


# ---------------------------------------------------------------- TLS
@pytest.fixture
def certified(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the web speak TLS, with a certificate for secure.example.org that is trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("secure.example.org")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    serve = web._serve

    def serve_securely(connection: Any, answer: Any) -> None:
        try:
            serve(context.wrap_socket(connection, server_side=True), answer)
        except OSError:
            connection.close()

    monkeypatch.setattr(web, "_serve", serve_securely)


@pytest.mark.usefixtures("certified")
def test_https_is_read_from_the_checked_address_with_the_name_verified(web: Web) -> None:
    web.answers = [[OK]]
    assert _read("https://secure.example.org/", SourceSettings()) == ROWS
    assert web.connected == [(PUBLIC, 443)]


@pytest.mark.usefixtures("certified")
def test_a_certificate_for_another_name_is_refused(web: Web) -> None:
    web.answers = [[OK]]
    message = _refused(SourceUnavailable, "https://other.example.org/", SourceSettings())
    assert message.endswith("the certificate is not valid: Hostname mismatch")


# ---------------------------------------------------------------- content
def test_the_content_of_another_kind_of_page_is_not_repeated(web: Web) -> None:
    web.answers = [[response(f"{FOREIGN},role\nadmin,x".encode())]]
    with pytest.raises(ColumnsMismatch, match="none of the 50 columns") as refused:
        _read()
    assert FOREIGN not in str(refused.value)


def test_an_error_page_instead_of_the_data_is_named(web: Web) -> None:
    web.answers = [[response(f"<!doctype html>\n<title>{FOREIGN}</title>".encode())]]
    assert "looks like HTML, not CSV" in _refused(SourceMalformed)


def test_an_empty_response_is_malformed(web: Web) -> None:
    web.answers = [[response(b"", "Content-Length: 0")]]
    assert "is empty" in _refused(SourceMalformed)


@pytest.mark.parametrize(
    "source",
    [
        "https://example.org/a b",
        "https://example.org/a\r\nb",
        "https://example.org:99999/",
        "http://[::1",
        "https://",
        "HTTPS://user:secret@example.org:port/",
    ],
)
def test_an_odd_url_is_an_invalid_request_before_anything_is_resolved(source: str) -> None:
    with pytest.raises(InvalidRequest, match="input field 'source'") as refused:
        sources.check(source, HTTP)
    assert "secret" not in str(refused.value)
