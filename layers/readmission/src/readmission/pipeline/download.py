"""Downloads a data source from the web, within limits of size and time, and from allowed addresses only.

Host names are resolved here, the addresses are checked, and the connection is made to a checked address: a name cannot
change its address in between. The same holds for every redirect. Nothing that a server sends is repeated in an error.
"""

import socket
import ssl
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock, Timer
from types import TracebackType
from typing import IO, Final, Self

from readmission.domain.redaction import redacted
from readmission.errors import InvalidRequest, SourceLimitExceeded, SourceNotFound, SourceUnavailable
from readmission.pipeline import source_address
from readmission.pipeline.source_address import WebAddress
from readmission.settings import SourceSettings

_TIMEOUT_SECONDS: Final = 30  # for a connection, and between two pieces of an answer
_CHUNK: Final = 1 << 20
_MAX_REDIRECTS: Final = 5
_MAX_ADDRESSES: Final = 4
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRANSIENT: Final = (408, 425, 429)
# Never a data source, even where private addresses are allowed: the metadata services of clouds are here.
_METADATA: Final = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")))
_NAT64: Final = IPv6Network("64:ff9b::/96")

type _Address = IPv4Address | IPv6Address


def download(source: str, spool: IO[bytes], settings: SourceSettings) -> None:
    """Write the content of the URL to `spool`.

    Raises `InvalidRequest`, `SourceNotFound`, `SourceUnavailable` and `SourceLimitExceeded`.
    """
    shown = redacted(source)
    with _Deadline(settings.max_seconds) as deadline:
        try:
            _follow(source, spool, settings, deadline)
        except (OSError, HTTPException) as error:
            if not deadline.passed:
                # Without its cause, because the message of an HTTPException repeats what the server sent.
                raise SourceUnavailable(f"{shown} cannot be read: {_reason(error)}") from None
        except SourceUnavailable:
            # A connection that the deadline has ended looks like a transfer that broke off.
            if not deadline.passed:
                raise
        if deadline.passed:
            raise SourceLimitExceeded(too_slow(shown, settings.max_seconds))


class _Deadline:
    """Ends a connection when the time is up, whatever it is waiting for. A timeout starts again with every byte."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._lock = Lock()
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, connection: socket.socket) -> None:
        with self._lock:
            self._socket = connection
            if self.passed:
                raise TimeoutError

    def _end(self) -> None:
        with self._lock:
            self.passed = True
            if self._socket is not None:
                try:
                    # Not SSLSocket's own method, which would let the other thread go on without encryption.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    return  # closed already

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._timer.cancel()


def _follow(source: str, spool: IO[bytes], settings: SourceSettings, deadline: _Deadline) -> None:
    """Save the answer to a request of `source`, after redirects."""
    shown = redacted(source)
    url, address = source, parse(source, settings)
    for _ in range(_MAX_REDIRECTS + 1):
        with (
            closing(_connect(address, shown, settings, deadline)) as connection,
            _request(connection, address) as response,
        ):
            location = response.getheader("Location")
            if response.status not in _REDIRECTS or location is None:
                _check_status(response, shown)
                _save(response, spool, shown, settings.max_bytes)
                return
        url, address = _redirected(url, location, address, shown, settings)
    raise SourceUnavailable(f"{shown} redirects more than {_MAX_REDIRECTS} times")


def parse(source: str, settings: SourceSettings) -> WebAddress:
    """The parts of the source's URL. Raises `InvalidRequest`."""
    try:
        return source_address.parse(source, allow_http=settings.allow_http)
    except ValueError as error:
        raise InvalidRequest(f"input field 'source': {redacted(source)!r} is refused: {error}") from None


def _redirected(
    url: str, location: str, before: WebAddress, shown: str, settings: SourceSettings
) -> tuple[str, WebAddress]:
    """The URL that a redirect leads to, and its parts. A user and password stay with the server they are meant for."""
    try:
        target = source_address.join(url, location)
        address = source_address.parse(target, allow_http=settings.allow_http)
    except ValueError as error:
        raise InvalidRequest(
            f"input field 'source': {shown} redirects to an address that is refused: {error}"
        ) from None
    if address.authorization is None and address.same_origin(before):
        address = replace(address, authorization=before.authorization)
    return target, address


def _connect(address: WebAddress, shown: str, settings: SourceSettings, deadline: _Deadline) -> HTTPConnection:
    """A connection to a checked address, which does not connect to any other."""
    connection = HTTPConnection(address.host, address.port)
    connection.auto_open = 0
    connection.sock = _socket(_resolve(address, shown, settings), address.port, deadline)
    try:
        if address.secure:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(
                connection.sock, server_hostname=address.host, do_handshake_on_connect=False
            )
            deadline.watch(connection.sock)
            connection.sock.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def _socket(addresses: list[_Address], port: int, deadline: _Deadline) -> socket.socket:
    """A connection to the first address that accepts one."""
    for index, address in enumerate(addresses, start=1):
        try:
            connected = socket.create_connection((str(address), port), _TIMEOUT_SECONDS)
        except OSError:
            if index == len(addresses) or deadline.passed:
                raise
        else:
            deadline.watch(connected)
            return connected
    raise AssertionError("the last address returns or raises")


def _resolve(address: WebAddress, shown: str, settings: SourceSettings) -> list[_Address]:
    """The addresses of the host. Raises `InvalidRequest` if one of them is not allowed."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    resolved = list(dict.fromkeys(ip_address(str(one[4][0]).partition("%")[0]) for one in found))
    if not all(is_allowed(one, private=settings.allow_private) for one in resolved):
        remedy = "" if settings.allow_private else "; AllowPrivateSources is off"
        raise InvalidRequest(
            f"input field 'source': {shown} is refused: it leads to an address that is not public{remedy}"
        )
    return resolved[:_MAX_ADDRESSES]


def is_allowed(address: _Address, *, private: bool) -> bool:
    """Whether a source may be read from this address: a public one, or a `private` one if that is allowed."""
    inner = _inside(address)
    if inner is not None:
        return is_allowed(inner, private=private)
    if any(address in network for network in _METADATA) or address.is_multicast:
        return False
    return private or address.is_global


def _inside(address: _Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to by translation or through a tunnel."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _request(connection: HTTPConnection, address: WebAddress) -> HTTPResponse:
    headers = {"Host": address.host_header, "User-Agent": "readmission", "Connection": "close"}
    if address.authorization:
        headers["Authorization"] = address.authorization
    connection.request("GET", address.target, headers=headers)
    return connection.getresponse()


def _check_status(response: HTTPResponse, shown: str) -> None:
    if response.status < 300:
        return
    kind = SourceUnavailable if response.status >= 500 or response.status in _TRANSIENT else SourceNotFound
    raise kind(f"{shown} responded with {_status(response.status)}")


def _status(code: int) -> str:
    """The code and its standard phrase; the server's own phrase could be anything."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _save(response: HTTPResponse, spool: IO[bytes], shown: str, max_bytes: int) -> None:
    announced = None if response.chunked else response.getheader("Content-Length")
    if announced is not None and not (announced.isascii() and announced.isdigit() and len(announced) < 20):
        raise InvalidRequest(f"input field 'source': {shown} is refused: it responds with an invalid Content-Length")
    expected = None if announced is None else int(announced)
    size = expected or 0
    if size <= max_bytes:
        size = 0
        # `read1` returns what has arrived, so that the limits hold for a server that sends byte by byte.
        while size <= max_bytes and (chunk := response.read1(_CHUNK)):
            size += spool.write(chunk)
    if size > max_bytes:
        raise SourceLimitExceeded(too_large(shown, max_bytes))
    if expected is not None and size != expected:
        raise SourceUnavailable(f"{shown}: the transfer ended after {size} of {expected} bytes")


def too_large(shown: str, max_bytes: int) -> str:
    """What to say of a source with more than `max_bytes`."""
    return f"{shown} is larger than the {max_bytes / 1e6:g} MB that MaxSourceMegabytes allows"


def too_slow(shown: str, seconds: float) -> str:
    """What to say of a source whose download takes more than `seconds`."""
    return f"{shown} takes longer to download than the {seconds:g} s that MaxSourceSeconds allows"


def _reason(error: OSError | HTTPException) -> str:
    match error:
        case IncompleteRead():
            return "the transfer was interrupted"
        case socket.gaierror():
            return "the host name is not known"
        case ssl.SSLCertVerificationError():
            # After the comma, it may name a host that the server redirected to.
            return f"the certificate is not valid: {error.verify_message.partition(',')[0]}"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
        case _:
            return f"the server does not answer in valid HTTP ({type(error).__name__})"
