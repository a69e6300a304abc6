"""LocalStack that listens on the interface of `GATEWAY_LISTEN` only.

LocalStack 2026.3.0 takes no more than the port from it and listens on every interface, where anyone in the network
could deploy and run code.
"""

from collections.abc import Callable
from functools import partial

from localstack.config import HostAndPort
from localstack.runtime.server import twisted
from localstack.utils.patch import patch


def register(
    original: Callable[..., None],
    self: twisted.TwistedRuntimeServer,
    gateway: object,
    listen: list[HostAndPort],
    ssl_creds: tuple[str, str] | None = None,
) -> None:
    """Registers each address by itself, with its host as the interface of the endpoint that is made for it."""
    endpoint = twisted.endpoints.TCP4ServerEndpoint
    for address in listen:
        twisted.endpoints.TCP4ServerEndpoint = partial(endpoint, interface=address.host)
        try:
            original(self, gateway, [address], ssl_creds)
        finally:
            twisted.endpoints.TCP4ServerEndpoint = endpoint


def restrict() -> None:
    """Puts it in place; to be called before the gateway starts."""
    patch(twisted.TwistedRuntimeServer.register)(register)
