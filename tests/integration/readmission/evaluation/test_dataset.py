"""What a training reads from Postgres."""

import io

import pandas as pd
import pytest
from readmission import settings
from readmission.domain.splits import SPLITS
from readmission.evaluation import dataset
from readmission.pipeline import synthetic
from readmission.storage.database import connect

from tests.integration.readmission.conftest import Stores


@pytest.fixture
def two_sites(stores: Stores) -> Stores:
    """300 encounters of one site, and 120 of another that uses the same numbers for other patients."""
    stores.load(list(synthetic.rows(300, seed=4)))
    stores.load(list(synthetic.rows(120, seed=5)), site="north")
    return stores


def test_the_hash_of_the_rows_is_that_of_earlier_releases(two_sites: Stores) -> None:
    ((earlier,),) = two_sites.clean.run(
        "SELECT encode(sha256(string_agg(row_hash, '' ORDER BY encounter_id, site)::bytea), 'hex')"
        " FROM diabetes_clean WHERE data_kind = 'real' AND label_due"
    )
    assert dataset.rows_hash(two_sites.clean, "real") == earlier
    assert dataset.rows_hash(two_sites.clean, "synthetic") == ""


def test_rows_that_are_published_during_a_snapshot_are_not_in_it(two_sites: Stores) -> None:
    with connect("clean", settings.DatabaseSettings.from_environment()) as other:
        text = io.BytesIO()
        with dataset.snapshot(other, "real") as rows_hash:
            two_sites.load(list(synthetic.rows(30, seed=9)), site="south")
            dataset.copy_by_patient(other, text)
        assert rows_hash != dataset.rows_hash(two_sites.clean, "real")
        assert b",south," not in text.getvalue()


@pytest.mark.parametrize("newest", [1, 17, 100, 250])
def test_the_newest_rows_have_the_same_history_as_among_all(two_sites: Stores, newest: int) -> None:
    every, found = dataset.read(two_sites.clean, "real"), dataset.read(two_sites.clean, "real", newest)
    assert 0 < len(found) <= newest
    columns = [name for name in dataset.STAY if name != "patient_nbr"]
    for site, some in found.groupby("site"):
        of_site = every[every["site"] == site].tail(len(some))
        pd.testing.assert_frame_equal(some[columns].reset_index(drop=True), of_site[columns].reset_index(drop=True))


@pytest.mark.parametrize("newest", [100, 1000])
def test_one_split_alone_has_the_rows_that_it_has_among_all(two_sites: Stores, newest: int) -> None:
    every = dataset.read(two_sites.clean, "real", newest)
    columns = [name for name in dataset.STAY if name != "patient_nbr"]
    for split in SPLITS:
        expected = every[every["split"] == split].reset_index(drop=True)
        found = dataset.read(two_sites.clean, "real", newest, split)
        pd.testing.assert_frame_equal(found[columns], expected[columns])
        # The numbers are others, but still those of one patient each.
        assert found["patient_nbr"].nunique() == expected["patient_nbr"].nunique()
