from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import mlflow
import pytest
from readmission.errors import TrackingUnavailable
from readmission.promotion import alias

from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models, Trainings


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    # A model name for each case; long test names begin alike.
    yield Models(stores, f"{request.function.__name__[:40]}_{crc32(request.node.name.encode()):08x}", trainings)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def failing_after_the_ledger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Runs a step that fails between writing to the ledger and moving the alias."""

    def run(step: Callable[[], Any]) -> None:
        def fail(*_: object) -> None:
            raise TrackingUnavailable("the registry went away")

        with monkeypatch.context() as patch:
            patch.setattr(alias, "move", fail)
            with pytest.raises(TrackingUnavailable):
                step()

    return run
