"""LocalStack listens only where it should."""

import psutil

from tests.integration.localstack.server import Server


def test_it_listens_only_on_the_interface_of_gateway_listen(server: Server) -> None:
    port = int(server.endpoint.rpartition(":")[2])
    connections = psutil.Process(server.process.pid).net_connections("inet")
    listening = {found.laddr.ip for found in connections if found.status == "LISTEN" and found.laddr.port == port}
    assert listening == {"127.0.0.1"}
