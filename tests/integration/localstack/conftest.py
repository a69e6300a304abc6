"""One LocalStack for all tests of the folder, and functions in it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.integration.localstack.server import Function, Server, create_function, wait_until_active, zip_of

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(tmp_path_factory.mktemp("localstack"))
    yield started
    started.stop()


@pytest.fixture
def deploy(server: Server) -> Iterator[Callable[..., Function]]:
    """`deploy(source, **configuration)`: a function whose module `app` is `source`, deleted after the test."""
    names: list[str] = []

    def deploy_function(source: str, **configuration: Any) -> Function:
        name = f"function-{next(_numbers)}"
        names.append(name)
        create_function(server, name, source, **configuration)
        wait_until_active(server, name)
        return Function(server, name)

    yield deploy_function
    lambda_client = server.client("lambda")
    for name in names:
        with suppress(lambda_client.exceptions.ResourceNotFoundException):  # the test deleted it
            lambda_client.delete_function(FunctionName=name)


@pytest.fixture
def layer(server: Server) -> Callable[..., str]:
    """`layer(files)`: ARN of a new layer version with these files; the options are those of `zip_of`."""

    def publish(files: dict[str, str | bytes], **options: Any) -> str:
        response = server.client("lambda").publish_layer_version(
            LayerName=f"layer-{next(_numbers)}", Content={"ZipFile": zip_of(files, **options)}
        )
        return response["LayerVersionArn"]

    return publish
