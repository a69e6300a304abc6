"""The client against the API under uvicorn, without a gateway."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from readmission.client import ApiProblem, ApiUnreachable, Client
from readmission.serving.schemas import EXAMPLE

from tests.unit.readmission.serving.fakes import Api, serving


@pytest.fixture(scope="module")
def api() -> Api:
    return serving(0.1, 0.2, 0.7)


@pytest.fixture(scope="module")
def url(api: Api) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(api.app, lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, timeout=10, retries=0) as client:
        yield client


def test_each_method_is_answered(client: Client) -> None:
    assert client.predict(EXAMPLE)["readmitted"] == "NO"
    assert client.predict_batch([EXAMPLE, {}])["answered"] == 1
    assert client.health() == {"status": "ok", "model_version": "1"}
    assert client.reload() == {"model_version": "1", "previous_version": "1"}


def test_csv_is_answered_as_csv(client: Client) -> None:
    text = ",".join(EXAMPLE) + "\n" + ",".join(map(str, EXAMPLE.values())) + "\n"
    head, row = client.predict_csv(text).splitlines()
    assert head.startswith("row,readmitted,") and row.startswith("1,NO,")


def test_a_problem_names_the_field_and_the_request(client: Client, api: Api) -> None:
    with pytest.raises(ApiProblem, match="time_in_hospital") as raised:
        client.predict(EXAMPLE | {"time_in_hospital": "long"})
    assert [error["field"] for error in raised.value.errors] == ["time_in_hospital"]
    assert raised.value.request_id == api.ids[-1]


def test_a_server_that_does_not_answer_in_time_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ApiUnreachable, match="timed out"):
            Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).health()
        assert time.monotonic() - began < 5


def test_a_closed_port_is_retried_and_then_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        waits: list[float] = []
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ApiUnreachable, match="refused"):
            Client(url, timeout=1, retries=2, sleep=waits.append).health()
    assert len(waits) == 2
