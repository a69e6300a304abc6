"""Makes LocalStack listen only on the host that `GATEWAY_LISTEN` names.

LocalStack 2026.3.0 uses only the port of that setting and listens on every interface, so anyone on the network could
deploy and run code.
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
    """Registers the addresses one by one, each with an endpoint bound to its host."""
    endpoint = twisted.endpoints.TCP4ServerEndpoint
    for address in listen:
        twisted.endpoints.TCP4ServerEndpoint = partial(endpoint, interface=address.host)
        try:
            original(self, gateway, [address], ssl_creds)
        finally:
            twisted.endpoints.TCP4ServerEndpoint = endpoint


def install() -> None:
    """Must run before the gateway starts."""
    patch(twisted.TwistedRuntimeServer.register)(register)
