"""A cluster of one real worker."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from readmission.training import cluster
from readmission.training.cluster import Cluster

from tests.platforms import free_ports

REFRESH_SECONDS = 5.0  # after so long, the client's timer overwrites what it shows of the scheduler


@pytest.fixture
def workers() -> Iterator[Cluster]:
    with cluster.started(("127.0.0.1",), free_ports(1)[0], 1, lambda _: None) as started:
        yield started


def test_no_worker_is_lost_when_the_client_refreshes_its_own_list_before_the_answer_is_read(
    workers: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, answers = workers.client.sync, list[Any]()

    def read_late(*arguments: Any, **named: Any) -> Any:
        """As on a busy machine, where this thread continues some time after another one has received the answer."""
        answers.append(sync(*arguments, **named))
        if len(answers) == 1:
            time.sleep(REFRESH_SECONDS + 1)
        return answers[-1]

    monkeypatch.setattr(workers.client, "sync", read_late)
    assert workers.results([]) == []
    assert answers
