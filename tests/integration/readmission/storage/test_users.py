"""The pipeline's steps as its own database user, and the history as the reader: what each may do is enough."""

from collections.abc import Iterator

import pytest
from pg8000.exceptions import DatabaseError
from readmission import settings
from readmission.evaluation import dataset
from readmission.pipeline import synthetic
from readmission.pipeline.adoption import adopt
from readmission.promotion import ledger
from readmission.storage.database import connect

from infra.local.servers import postgres
from tests.integration.readmission.conftest import Stores
from tests.platforms import Platform

ENTRY = ledger.Entry("users", "1", None, "promoted", "first", {}, "synthetic", "hash", "code", "execution")


def _login(name: str) -> settings.DatabaseSettings:
    return settings.DatabaseSettings(f"readmission/database/{name}", "disable")


@pytest.fixture
def as_pipeline(stores: Stores, system: Platform) -> Iterator[Stores]:
    """The same stores, through connections of the pipeline's user."""
    # Other tests drop the schemas, and with them the privileges that `make up` has granted.
    postgres.create_databases(system.settings)
    with connect("raw", _login("pipeline")) as raw, connect("clean", _login("pipeline")) as clean:
        yield Stores(raw, clean, stores.s3)


def test_the_pipelines_user_adopts_loads_checks_withdraws_and_reads(as_pipeline: Stores) -> None:
    adopt(as_pipeline.raw, as_pipeline.clean)
    planned = as_pipeline.deliver(list(synthetic.rows(300, seed=4)))
    assert as_pipeline.ingest(planned)[0]["added"] == 300
    assert as_pipeline.tidy(planned)[0]["rows"] == 300
    assert len(dataset.read(as_pipeline.clean, planned["data_kind"])) > 0
    as_pipeline.withdraw(planned)
    assert as_pipeline.clean.run("SELECT count(*) FROM diabetes_clean") == [[0]]


def test_the_pipelines_user_decides_and_the_reader_reads_the_decision_and_decides_nothing(as_pipeline: Stores) -> None:
    with ledger.exclusive(as_pipeline.clean, "users"):
        if not ledger.of_execution(as_pipeline.clean, "users", "execution"):
            ledger.append(as_pipeline.clean, ENTRY)
    with connect("clean", _login("reader")) as reader:
        assert ledger.read(reader, "users", 5)[0]["version"] == "1"
        with pytest.raises(DatabaseError, match="read-only"):
            ledger.append(reader, ENTRY)
