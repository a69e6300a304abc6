import pytest
from readmission.pipeline import publication, synthetic

from tests.integration.readmission.conftest import Stores

ROWS = 3000
SLICES = 10
READ = "SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables WHERE relname IN ('clean_row', 'diabetes_clean')"


def test_publishing_reads_no_table_again_for_each_slice(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of `clean_row` read for each, the time would grow with the square of the rows."""
    monkeypatch.setattr(publication, "_SLICE", ROWS // SLICES)
    planned = stores.deliver(list(synthetic.rows(ROWS, seed=5)), batch_size=1000)
    stores.ingest(planned)
    stores.clean_batches(planned)
    for _ in range(2):  # into an empty table, and into one that has these rows
        stores.check(planned, 0.05)
        stores.clean.run("ANALYZE clean_row, diabetes_clean")
    ids = [batch for (batch,) in stores.clean.run("SELECT DISTINCT batch_id FROM clean_row")]
    with publication.exclusive(stores.clean):
        before = dict(stores.clean.run(READ))
        assert publication.publish(stores.clean, ids) == (0, ROWS)
        after = dict(stores.clean.run(READ))
    # Once each, for the affected encounters.
    assert {name: after[name] - before[name] <= ROWS for name in after} == {"clean_row": True, "diabetes_clean": True}


def test_a_slice_of_two_sites_has_the_encounters_of_both(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(synthetic.rows(30, seed=5))
    for site in ("north", "south"):
        stores.load(rows, site=site)
    monkeypatch.setattr(publication, "_SLICE", 25)
    ids = [batch for (batch,) in stores.clean.run("SELECT DISTINCT batch_id FROM clean_row")]
    before = stores.clean.run("SELECT site, encounter_id, batch_id, row_number FROM diabetes_clean ORDER BY 1, 2")
    stores.clean.run("UPDATE delivery SET status = 'withdrawn' WHERE site = 'south'")
    with publication.exclusive(stores.clean):
        assert publication.publish(stores.clean, ids) == (30, 30)
    stores.clean.run("UPDATE delivery SET status = 'accepted'")
    with publication.exclusive(stores.clean):
        assert publication.publish(stores.clean, ids) == (0, 60)
    assert before == stores.clean.run(
        "SELECT site, encounter_id, batch_id, row_number FROM diabetes_clean ORDER BY 1, 2"
    )
