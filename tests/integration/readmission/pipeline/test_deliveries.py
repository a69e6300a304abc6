"""Deliveries beside, after and instead of each other: what is learned from is that of the accepted ones, exactly."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.domain.features import STORED
from readmission.domain.payloads import Plan
from readmission.errors import DeliveryWithdrawn, InvalidRequest, RowsMissing, TooManyInvalidRows
from readmission.evaluation import dataset
from readmission.pipeline import data_report, deliveries, publication, synthetic
from readmission.pipeline.publication import withdraw
from readmission.storage.database import connect

from tests.integration.readmission.conftest import Stores, changed, delivery_of

LEARNED = """
    SELECT row_to_json(c)::jsonb - 'cleaned_at' FROM diabetes_clean c ORDER BY data_kind, site, encounter_id
"""
DATED = (*NAMES, "discharge_date")


def learned_from(stores: Stores) -> list[Any]:
    """The whole clean table, without the times of cleaning."""
    return stores.clean.run(LEARNED)


def outcomes(stores: Stores) -> dict[tuple[str, int], str]:
    found = stores.clean.run("SELECT site, encounter_id, readmitted FROM diabetes_clean")
    return {(site, encounter): outcome for site, encounter, outcome in found}


def status(stores: Stores, planned: Plan) -> str:
    (found,) = deliveries.find(stores.clean, [delivery_of(planned)])
    return found.status


def corrected(row: list[str]) -> list[str]:
    return changed(row, readmitted="<30" if row[-1] != "<30" else "NO")


def spoiled(rows: list[list[str]]) -> list[list[str]]:
    """The rows, of which only the first is valid."""
    return [rows[0], *(changed(row, age="?") for row in rows[1:])]


def delivered(stores: Stores, rows: list[list[str]], **request: Any) -> Plan:
    planned = stores.deliver(rows, **request)
    stores.ingest(planned)
    stores.tidy(planned)
    return planned


def refused(stores: Stores, rows: list[list[str]]) -> Plan:
    planned = stores.deliver(rows)
    stores.ingest(planned)
    stores.clean_batches(planned)
    with pytest.raises(
        TooManyInvalidRows, match=f"(?s)delivery {delivery_of(planned)}: .*Nothing of it is learned from"
    ):
        stores.check(planned, 0.02)
    return planned


# ---------------------------------------------------------------- rows of several batches
def test_three_runs_at_once_over_the_same_rows_account_for_every_row(stores: Stores) -> None:
    rows = list(synthetic.rows(3000, seed=3))
    plans = [stores.deliver(rows, batch_size=size) for size in (300, 700, 500)]
    database = settings.DatabaseSettings.from_environment()

    def run(planned: Plan) -> list[tuple[int, int]]:
        s3 = boto3.client("s3")
        with connect("raw", database) as raw, connect("clean", database) as clean:
            own = replace(stores, raw=raw, clean=clean, s3=s3)
            own.ingest(planned)
            results = own.clean_batches(planned)
            checked = own.check(planned, 0)
        s3.close()
        return [(sum(result["rows"] for result in results), checked["rows"])]

    with ThreadPoolExecutor(3) as pool:
        assert [pair for pairs in pool.map(run, plans) for pair in pairs] == [(3000, 3000)] * 3
    assert stores.raw.run("SELECT count(*) FROM diabetes_raw") == [[3000]]
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[3000]]


def test_rows_that_two_batches_share_are_cleaned_with_each(stores: Stores, rows: list[list[str]]) -> None:
    first = delivered(stores, rows[:20])
    second = delivered(stores, rows)
    for planned, count in ((second, 40), (first, 20)):
        assert [result["rows"] for result in stores.clean_batches(planned)] == [count]
        assert stores.check(planned, 0)["rows"] == count


def test_rows_that_were_lost_between_delivery_and_cleaning_are_named(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver(rows, batch_size=20)
    stores.ingest(planned)
    stores.raw.run("DELETE FROM diabetes_raw WHERE row_number > 35")
    stores.clean_batches(planned)
    with pytest.raises(RowsMissing, match=r"batch 2 \([0-9a-f]{24}\): 20 rows were delivered, but 15 were cleaned"):
        stores.check(planned, 1)
    assert (learned_from(stores), status(stores, planned)) == ([], "pending")


def test_a_source_that_is_delivered_again_replaces_rows_that_were_lost(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows, batch_size=20)
    before = learned_from(stores)
    stores.raw.run("DELETE FROM diabetes_raw WHERE row_number > 35")
    delivered(stores, rows, batch_size=20)
    assert learned_from(stores) == before


def test_rows_that_repeat_an_earlier_one_of_their_batch_are_counted(stores: Stores, rows: list[list[str]]) -> None:
    planned = stores.deliver([*rows, rows[0], rows[1]])
    stores.ingest(planned)
    stores.clean_batches(planned)
    assert stores.check(planned, 0) == {"rows": 42, "cleaned": 40, "quarantined": 0, "duplicates": 2}


# ---------------------------------------------------------------- refused
def test_a_refused_delivery_changes_nothing_that_is_learned_from(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows)
    before = learned_from(stores), data_report.of_clean_rows(stores.clean, "real")
    planned = refused(stores, spoiled([corrected(row) for row in rows]))
    assert (learned_from(stores), data_report.of_clean_rows(stores.clean, "real")) == before
    assert status(stores, planned) == "refused"
    # Why it was refused can be looked up.
    assert stores.clean.run("SELECT count(*) FROM quarantine") == [[39]]


def test_a_run_from_clean_leaves_a_refused_delivery_out(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows)
    before = learned_from(stores)
    refused(stores, spoiled([corrected(row) for row in rows]))
    planned = stores.plan(start_at="clean")
    stores.clean_batches(planned)
    assert stores.check(planned, 0.02)["rows"] == 40
    assert learned_from(stores) == before


def test_a_refused_source_that_is_delivered_again_under_a_higher_limit_is_accepted(
    stores: Stores, rows: list[list[str]]
) -> None:
    refused(stores, spoiled(rows))
    delivered(stores, spoiled(rows))
    assert len(learned_from(stores)) == 1


def test_a_bad_delivery_that_was_only_ingested_fails_a_run_from_clean_once(
    stores: Stores, rows: list[list[str]]
) -> None:
    delivered(stores, rows[:20])
    bad = stores.deliver(spoiled(rows[20:]))
    stores.ingest(bad)
    planned = stores.plan(start_at="clean")
    stores.clean_batches(planned)
    with pytest.raises(TooManyInvalidRows, match=delivery_of(bad)):
        stores.check(planned, 0.02)
    assert len(learned_from(stores)) == 20
    again = stores.plan(start_at="clean")
    stores.clean_batches(again)
    assert stores.check(again, 0.02)["rows"] == 20


def test_a_delivery_that_was_accepted_before_stays_when_a_stricter_check_fails(
    stores: Stores, rows: list[list[str]]
) -> None:
    first = delivered(stores, spoiled(rows))
    planned = stores.plan(start_at="clean")
    stores.clean_batches(planned)
    with pytest.raises(TooManyInvalidRows, match=f"make withdraw DELIVERY={delivery_of(first)}"):
        stores.check(planned, 0.02)
    assert (status(stores, first), len(learned_from(stores))) == ("accepted", 1)


# ---------------------------------------------------------------- withdrawn
def test_a_withdrawn_delivery_takes_its_rows_and_gives_back_those_that_it_replaced(
    stores: Stores, rows: list[list[str]]
) -> None:
    delivered(stores, rows[:20])
    before = learned_from(stores)
    planned = delivered(stores, [*(corrected(row) for row in rows[5:20]), *rows[20:]])
    assert len(learned_from(stores)) == 40
    assert stores.withdraw(planned, "the wrong ward") == {
        "delivery": delivery_of(planned),
        "removed": 20,
        "kept": 15,
    }
    assert learned_from(stores) == before


@pytest.mark.parametrize("withdrawn", [0, 1, 2])
def test_what_remains_is_what_the_other_deliveries_alone_would_have_made(
    stores: Stores, rows: list[list[str]], withdrawn: int
) -> None:
    files = [
        (rows[:30], 7),
        ([corrected(row) for row in rows[10:35]], 9),
        ([*rows[5:15], *(corrected(row) for row in rows[30:])], 40),
    ]
    plans = [delivered(stores, some, batch_size=size) for some, size in files]
    stores.withdraw(plans[withdrawn])
    found = outcomes(stores)
    stores.empty()
    for number, (some, size) in enumerate(files):
        if number != withdrawn:
            delivered(stores, some, batch_size=size)
    assert found == outcomes(stores)


def test_a_row_of_two_deliveries_stays_as_old_as_the_first_of_them_that_remains(
    stores: Stores, rows: list[list[str]]
) -> None:
    first, *_ = (delivered(stores, [one]) for one in (rows[0], corrected(rows[0]), rows[0]))
    assert list(outcomes(stores).values()) == [corrected(rows[0])[-1]]
    stores.withdraw(first)
    assert list(outcomes(stores).values()) == [rows[0][-1]]


def test_withdrawing_twice_changes_nothing_more(stores: Stores, rows: list[list[str]]) -> None:
    planned = delivered(stores, rows)
    assert stores.withdraw(planned)["removed"] == 40
    assert stores.withdraw(planned)["removed"] == 0
    assert learned_from(stores) == []


def test_a_run_from_clean_does_not_bring_a_withdrawn_delivery_back(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows[:10])
    stores.withdraw(delivered(stores, rows[10:]))
    planned = stores.plan(start_at="clean")
    stores.tidy(planned)
    assert len(learned_from(stores)) == 10


def test_a_delivery_that_is_withdrawn_while_its_run_goes_on_is_not_accepted(
    stores: Stores, rows: list[list[str]]
) -> None:
    planned = stores.deliver(rows)
    stores.ingest(planned)
    stores.withdraw(planned)
    stores.clean_batches(planned)
    with pytest.raises(DeliveryWithdrawn, match=delivery_of(planned)):
        stores.check(planned, 1)
    assert learned_from(stores) == []


@pytest.mark.parametrize("request_", [{"delivery": "nothing"}, {}, {"delivery": 7}, {"delivery": "a", "reason": 7}])
def test_a_delivery_that_is_not_there_cannot_be_withdrawn(stores: Stores, request_: Any) -> None:
    with pytest.raises(InvalidRequest):
        withdraw(request_, stores.clean)


def test_deliveries_are_listed_newest_first_with_what_became_of_them(stores: Stores, rows: list[list[str]]) -> None:
    first = delivered(stores, rows[:10])
    second = refused(stores, spoiled(rows[10:]))
    stores.withdraw(first, "the wrong ward")
    found = deliveries.read(stores.clean, 10)
    assert [(line["delivery_id"], line["rows"], line["status"]) for line in found] == [
        (delivery_of(second), 30, "refused"),
        (delivery_of(first), 10, "withdrawn"),
    ]
    assert found[1]["reason"] == "the wrong ward"


def test_the_name_of_an_execution_cannot_deliver_twice(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows)
    number = int(delivery_of(stores.deliver(rows)).removeprefix("run-"))
    stores.plan(number, source="synthetic:rows=5")  # planned again: nothing was decided yet
    with pytest.raises(InvalidRequest, match=f"'run-{number - 1}'"):
        stores.plan(number - 1, source="synthetic:rows=5")


# ---------------------------------------------------------------- sites
def test_equal_numbers_of_two_sites_are_different_encounters(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows)
    delivered(stores, [corrected(row) for row in rows], site="north")
    delivered(stores, rows, site="south")  # the same rows as the default site's
    found = outcomes(stores)
    for site, some in (("default", rows), ("north", [corrected(row) for row in rows]), ("south", rows)):
        assert {number: outcome for (one, number), outcome in found.items() if one == site} == {
            int(row[0]): row[-1] for row in some
        }
    assert dataset.sites(stores.clean, "real") == {"default": 40, "north": 40, "south": 40}


def test_the_history_of_a_patient_is_that_of_the_site(stores: Stores, rows: list[list[str]]) -> None:
    stays = [changed(row, patient_nbr="7", discharge_disposition_id="1") for row in rows[:4]]
    delivered(stores, stays)
    before = dataset.read(stores.clean, "real")
    delivered(stores, [changed(row, encounter_id=str(index)) for index, row in enumerate(stays, start=1)], site="north")
    found = dataset.read(stores.clean, "real")
    assert found[found["site"] == "default"]["prior_encounters"].tolist() == before["prior_encounters"].tolist()
    assert found[found["site"] == "north"]["prior_encounters"].tolist() == [0, 1, 2, 3]
    assert found.groupby("patient_nbr").size().tolist() == [4, 4]


def test_the_newest_rows_are_the_same_share_of_each_site(stores: Stores, rows: list[list[str]]) -> None:
    rows = [changed(row, discharge_disposition_id="1") for row in rows]
    delivered(stores, rows)
    delivered(
        stores, [changed(row, encounter_id=str(index)) for index, row in enumerate(rows[:20], start=1)], site="north"
    )
    found = dataset.read(stores.clean, "real", 30)
    assert found.groupby("site").size().to_dict() == {"default": 20, "north": 10}


# ---------------------------------------------------------------- many rows
def test_a_delivery_is_published_and_withdrawn_in_slices_as_in_one(
    stores: Stores, rows: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for size in (100_000, 7):
        stores.empty()
        monkeypatch.setattr(publication, "_SLICE", size)
        delivered(stores, rows[:25], batch_size=10)
        # Some encounters come twice in this delivery, in two batches.
        later = delivered(stores, [*map(corrected, rows[:20]), *rows[30:], *rows[5:12]], batch_size=8)
        published = outcomes(stores)
        withdrawn = stores.withdraw(later)
        found.append((published, (withdrawn["removed"], withdrawn["kept"]), outcomes(stores)))
    assert found[0] == found[1]
    assert found[0][1] == (10, 20)


# ---------------------------------------------------------------- labels that are not due
def test_stays_whose_label_is_not_due_are_not_learned_from_but_counted(stores: Stores, rows: list[list[str]]) -> None:
    days = ("2025-11-29", "2025-12-01", "2025-12-02", "2025-12-30")
    dated = [
        [*changed(row, discharge_disposition_id="1", patient_nbr="7"), day]
        for row, day in zip(rows, days, strict=False)
    ]
    delivered(stores, dated, header=DATED, taken_on="2025-12-31")
    assert len(dataset.read(stores.clean, "real")) == 2
    assert dataset.excluded(stores.clean, "real")["label not due yet"] == 2
    assert dataset.sites(stores.clean, "real") == {"default": 2}


def test_a_label_is_due_once_a_later_delivery_repeats_it(stores: Stores, rows: list[list[str]]) -> None:
    row = [*changed(rows[0], discharge_disposition_id="1"), "2025-12-01"]
    first = delivered(stores, [row], header=DATED, taken_on="2025-12-02")
    assert len(dataset.read(stores.clean, "real")) == 0
    later = delivered(stores, [row], header=DATED, taken_on="2025-12-31")
    assert len(dataset.read(stores.clean, "real")) == 1
    stores.withdraw(later)
    assert len(dataset.read(stores.clean, "real")) == 0
    assert status(stores, first) == "accepted"


def test_a_later_delivery_brings_the_label_that_is_due(stores: Stores, rows: list[list[str]]) -> None:
    row = changed(rows[0], discharge_disposition_id="1", readmitted="NO")
    delivered(stores, [[*row, "2025-12-01"]], header=DATED, taken_on="2025-12-02")
    delivered(stores, [[*changed(row, readmitted="<30"), "2025-12-01"]], header=DATED, taken_on="2025-12-31")
    assert dataset.read(stores.clean, "real")["readmitted"].tolist() == ["<30"]


def test_a_row_without_a_valid_discharge_date_goes_to_quarantine(stores: Stores, rows: list[list[str]]) -> None:
    days = ("2025-12-01", "", "01.12.2025", "2027-01-01")
    delivered(stores, [[*row, day] for row, day in zip(rows, days, strict=False)], header=DATED)
    assert len(learned_from(stores)) == 1
    reasons = [reason for (reason,) in stores.clean.run("SELECT reason FROM quarantine ORDER BY row_number")]
    assert reasons == [
        "discharge_date: '' is not a date in the form YYYY-MM-DD",
        "discharge_date: '01.12.2025' is not a date in the form YYYY-MM-DD",
        "discharge_date: 2027-01-01 is after the day of the delivery, 2026-01-01",
    ]


# ---------------------------------------------------------------- compared with those before
def test_a_delivery_is_compared_with_the_ones_before_it_of_its_site(stores: Stores) -> None:
    rows = list(synthetic.rows(800, seed=5))
    first = delivered(stores, rows[:300])
    second = delivered(stores, rows[300:600])
    odd = [
        changed(row, num_medications=str(2 * int(row[NAMES.index("num_medications")]) + 5), payer_code="XX")
        for row in rows[600:]
    ]
    third = delivered(stores, odd)
    elsewhere = delivered(stores, rows[:300], site="north")
    found = {line["delivery_id"]: line["comparison"] for line in deliveries.read(stores.clean, 10)}
    assert found[delivery_of(first)] is None and found[delivery_of(elsewhere)] is None
    assert found[delivery_of(second)]["notable"] == []
    assert found[delivery_of(third)]["notable"] == ["payer_code", "num_medications"]
    assert found[delivery_of(third)]["rows"] == {"before": 600, "now": 200}
    document = data_report.document({}, deliveries.accepted(stores.clean, "real"))
    assert [one["delivery"] for one in document["deliveries"]] == [
        delivery_of(one) for one in (first, second, third, elsewhere)
    ]


def test_labels_that_may_not_be_due_do_not_make_a_delivery_differ(stores: Stores) -> None:
    rows = list(synthetic.rows(600, seed=5))
    not_yet = [changed(row, readmitted="NO") for row in rows[300:]]
    delivered(stores, [[*row, "2025-10-01"] for row in rows[:300]], header=DATED, taken_on="2025-12-01")
    dated = delivered(stores, [[*row, "2025-12-20"] for row in not_yet], header=DATED, taken_on="2025-12-31")
    delivered(stores, rows[:300], site="north")
    undated = delivered(stores, not_yet, site="north")
    found = {line["delivery_id"]: line["comparison"] for line in deliveries.read(stores.clean, 10)}
    assert found[delivery_of(dated)]["shares"]["readmitted"]["most_changed"]["now"] == 1
    assert found[delivery_of(dated)]["notable"] == []
    assert found[delivery_of(undated)]["notable"] == ["readmitted"]


# ---------------------------------------------------------------- versions of ICD
IN_ICD10 = {"diag_1": "I50.9", "diag_2": "E1122", "diag_3": "N186"}
IN_ICD9 = {"diag_1": "428", "diag_2": "250.4", "diag_3": "585"}


def test_a_delivery_in_icd_10_gives_the_models_what_one_in_icd_9_does_and_keeps_its_codes(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load([changed(row, **IN_ICD9) for row in rows])
    inputs = ", ".join(STORED)
    before = stores.clean.run(f"SELECT {inputs} FROM diabetes_clean ORDER BY encounter_id")
    stores.load([changed(row, **IN_ICD10) for row in rows], diag_version="icd10")
    assert stores.clean.run(f"SELECT {inputs} FROM diabetes_clean ORDER BY encounter_id") == before
    codes = "diag_1, diag_2, diag_3, diag_version"
    assert stores.clean.run(f"SELECT DISTINCT {codes} FROM diabetes_clean") == [[*IN_ICD10.values(), "icd10"]]
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[len(rows)]]


def test_each_row_of_a_delivery_can_state_its_version_and_those_that_do_not_fit_are_in_quarantine(
    stores: Stores, rows: list[list[str]]
) -> None:
    codes = [("E880", "icd10"), ("E880", "icd9"), ("E880", ""), ("E119", ""), ("I10", "icd9"), ("U071", "icd10")]
    some = [
        [*changed(row, diag_1=code, diag_2="?", diag_3="?"), version]
        for row, (code, version) in zip(rows, codes, strict=False)
    ]
    delivered(stores, some, header=(*NAMES, "diag_version"))
    found = stores.clean.run("SELECT diag_1, diag_version, diag_1_category FROM diabetes_clean ORDER BY row_number")
    assert found == [
        *(["E880", "icd10", "273"], ["E880", "icd9", "E880"], ["E119", "icd10", "250"]),
        ["U071", "icd10", "?"],  # without an equivalent, and so unknown to the models
    ]
    reasons = stores.clean.run("SELECT reason FROM quarantine ORDER BY row_number")
    assert [reason.split(";")[0].split(".")[0] for (reason,) in reasons] == [
        "diag_1: 'E880' can be ICD-9-CM or ICD-10-CM",
        "diag_1: 'I10' is not an ICD-9-CM code, although diag_version is icd9",
    ]
