import os
import socket

import pytest

from infra.local.errors import LocalError
from infra.local.lifecycle import ports


def test_a_free_port_is_accepted() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    ports.refuse_taken(number, "MLFLOW_PORT")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_refused_with_its_holder_and_the_variable_to_set(address: str) -> None:
    with socket.socket() as holder:
        holder.bind((address, 0))
        holder.listen()
        with pytest.raises(LocalError) as refused:
            ports.refuse_taken(holder.getsockname()[1], "MLFLOW_PORT")
    assert f"(pid {os.getpid()})" in str(refused.value)
    assert "MLFLOW_PORT" in str(refused.value)


def test_the_holder_of_an_ipv6_port_is_found() -> None:
    with socket.socket(socket.AF_INET6) as holder:
        holder.bind(("::1", 0))
        holder.listen()
        assert f"(pid {os.getpid()})" in str(ports.owner(holder.getsockname()[1]))


def test_a_bound_port_without_a_listener_has_no_owner() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert ports.owner(bound.getsockname()[1]) is None
