"""LocalStack does not build its index of AWS operations itself."""

from tests.integration.localstack.server import PROJECT, Server


def test_a_new_localstack_uses_the_service_catalog_that_setup_built(server: Server) -> None:
    (built,) = (PROJECT / ".venv").glob("service-catalog-*.dill")
    server.client("sts").get_caller_identity()
    (used,) = (server.folder / "root").rglob("service-catalog-*.dill")
    assert used.name == built.name
    assert used.read_bytes() == built.read_bytes()
