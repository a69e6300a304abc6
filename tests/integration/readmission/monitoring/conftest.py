from collections.abc import Iterator
from zlib import crc32

import mlflow
import pytest

from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models, Trainings


@pytest.fixture
def models(stores: Stores, trainings: Trainings, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(stores, f"monitor_{crc32(request.node.name.encode()):08x}", trainings)
    stores.clean.run("TRUNCATE prediction, outcome")
    while mlflow.active_run():
        mlflow.end_run()
