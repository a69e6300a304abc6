"""A patient is found and erased everywhere, in one go or after it broke off, and does not come back."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.domain.payloads import Plan
from readmission.errors import InvalidRequest, LoadingInProgress
from readmission.pipeline import erased, erasure, patient_rows
from readmission.pipeline.erasure import Found
from readmission.pipeline.outcomes import Outcome, store
from readmission.registry.rest import ModelVersion
from readmission.storage.database import connect
from readmission.storage.migrations import migrate

from tests import hospital_file
from tests.integration.readmission.conftest import BUCKETS, Stores, changed, hashes_as_digits

# Nine digits, so that it stands in no text by chance: other tests leave files with half a million decimals.
PATIENT = 918_273_645
KEY = "k" * 64
TO_SCORE = ["scoring/incoming/night.csv", "scoring/uploads/make-1/night.csv"]
TABLES = ("diabetes_raw", "clean_row", "diabetes_clean", "quarantine", "feedback", "prediction", "outcome")
REQUEST = {"patient": PATIENT, "site": "default", "reason": "asked for it", "by": "Ada Lovelace", "confirm": True}


@dataclass
class Registry:
    """Model versions, and the batches that each learned from; None for one that does not say."""

    learned: dict[str, list[str] | None] = field(default_factory=dict)

    def versions(self) -> list[ModelVersion]:
        return [ModelVersion("readmission", number, f"run-{number}", 0, {}) for number in self.learned]

    def find_artifact(self, run_id: str, path: str) -> bytes | None:
        batches = self.learned[run_id.removeprefix("run-")]
        return None if batches is None else json.dumps({"batches": {key: {} for key in batches}}).encode()


@pytest.fixture(autouse=True)
def nobody(stores: Stores) -> Iterator[None]:
    """No erased patients, no forecasts and no files."""
    _empty(stores)
    yield
    _empty(stores)


def _empty(stores: Stores) -> None:
    stores.raw.run("TRUNCATE erasure")
    stores.clean.run("TRUNCATE prediction, feedback, outcome, erased_patient")
    for prefix in ("pipeline/", "sources/", "training/", "predictions/", "scoring/"):
        for entry in stores.s3.list_objects_v2(Bucket=BUCKETS[0], Prefix=prefix).get("Contents", []):
            stores.s3.delete_object(Bucket=BUCKETS[0], Key=entry["Key"])


@pytest.fixture
def delivery(rows: list[list[str]]) -> list[list[str]]:
    """Forty encounters: three are the patient's, and of these the last is invalid."""
    mine = [changed(row, patient_nbr=str(PATIENT)) for row in rows[:3]]
    mine[2] = changed(mine[2], age="unknown")
    return [*mine, *rows[3:]]


def places(stores: Stores, registry: Registry | None = None, *, key: bool = True) -> erasure.Stores:
    keys = (lambda site, number: KEY if number == PATIENT else "other") if key else None
    return erasure.Stores(stores.raw, stores.clean, stores.s3, BUCKETS[0], registry or Registry(), keys)


def find(stores: Stores, site: str = "default", registry: Registry | None = None) -> Found:
    return erasure.find({"patient": PATIENT, "site": site}, places(stores, registry))


def delivered(stores: Stores, rows: list[list[str]], **request: Any) -> Plan:
    planned = stores.deliver(rows, **request)
    stores.ingest(planned)
    stores.tidy(planned)
    return planned


def forecast(stores: Stores, encounter: str | None, key: str | None, answered_at: str = "2026-01-01T12:00:00Z") -> None:
    stores.clean.run(
        "INSERT INTO prediction (log_id, request_id, position, answered_at, route, model_name, model_version,"
        " data_kind, site, encounter_id, patient_key, inputs, p_early, p_late, p_none)"
        " VALUES (gen_random_uuid()::text, 'ward-7', 0, CAST(:at AS timestamptz), '/predict', 'readmission', '1',"
        " 'real', 'default', CAST(:encounter AS bigint), :key, '{}', 0.1, 0.3, 0.6)",
        at=answered_at,
        encounter=encounter,
        key=key,
    )


def everything(stores: Stores) -> str:
    """The text of all tables and files, in which a patient's number could be."""
    parts = [
        str(database.run(f"SELECT CAST(row_to_json(line) AS text) FROM {table} AS line"))
        for database, tables in (
            (stores.raw, ("diabetes_raw", "shared_row", "batch", "erasure")),
            (stores.clean, (*TABLES[1:], "batch_report", "delivery", "delivery_batch", "erased_patient")),
        )
        for table in tables
    ]
    for entry in stores.s3.list_objects_v2(Bucket=BUCKETS[0]).get("Contents", []):
        content = stores.s3.get_object(Bucket=BUCKETS[0], Key=entry["Key"])["Body"].read()
        parts.append((gzip.decompress(content) if entry["Key"].endswith(".gz") else content).decode())
    return "\n".join(parts)


def put(stores: Stores, key: str, body: bytes) -> None:
    stores.s3.put_object(Bucket=BUCKETS[0], Key=key, Body=body)


def message(*forecasts: dict[str, Any]) -> bytes:
    return json.dumps({"log_id": "1", "forecasts": forecasts}).encode()


def fill(stores: Stores, delivery: list[list[str]]) -> None:
    """The patient everywhere: two deliveries of the same rows, forecasts, outcomes, an export and a logged message."""
    delivered(stores, delivery, batch_size=15)
    delivered(stores, delivery[:20], batch_size=20)
    forecast(stores, delivery[0][0], None)
    forecast(stores, "777", KEY)
    forecast(stores, None, KEY)
    forecast(stores, delivery[5][0], "other")
    # About the forecasts of the request, of which one is another patient's.
    stores.clean.run(
        "INSERT INTO feedback (feedback_id, received_at, route, request_id, position, outcome, outcome_at, reason)"
        " SELECT gen_random_uuid()::text, now(), '/feedback', request_id, position, 'contacted', now(), 'called'"
        " FROM prediction WHERE patient_key IS DISTINCT FROM 'other'"
    )
    outcomes = [Outcome(0, "default", int(delivery[1][0]), "NO"), Outcome(1, "default", 777, "<30")]
    store(stores.clean, [*outcomes, Outcome(2, "default", int(delivery[5][0]), "NO")], "ward-7", None)
    put(stores, "training/real/abc/part-00000.parquet", b"PAR1")
    put(stores, "scoring/jobs/night/results.csv", b"row")
    for key in TO_SCORE:
        put(stores, key, b"patient_nbr")
    put(stores, "predictions/1.json", message({"patient_key": KEY}, {"patient_key": "other", "site": "default"}))


# ---------------------------------------------------------------- find
def test_a_patient_is_found_everywhere_and_nothing_is_changed(stores: Stores, delivery: list[list[str]]) -> None:
    fill(stores, delivery)
    before = everything(stores)
    found = find(stores)
    assert found["rows"] == dict(zip(TABLES, (3, 4, 2, 2, 3, 3, 2), strict=True))
    assert sorted(file["rows"] for file in found["files"]) == [1, 3, 3, 3, 3]
    assert (found["exports"], found["split"], found["erasure"]) == (1, "train", None)
    assert (found["jobs"], found["to_score"]) == (1, TO_SCORE)
    assert everything(stores) == before


def test_somebody_else_is_not_found(stores: Stores, delivery: list[list[str]]) -> None:
    fill(stores, delivery)
    found = find(stores, site="north")
    # By the key, which the fake gives for every site.
    assert not any(count for table, count in found["rows"].items() if table not in ("prediction", "feedback"))
    assert [file["rows"] for file in found["files"]] == [1]


def test_the_versions_that_were_trained_on_the_patient_are_named(stores: Stores, delivery: list[list[str]]) -> None:
    planned = delivered(stores, delivery)
    ((batch,),) = stores.raw.run("SELECT batch_id FROM batch")
    registry = Registry({"1": ["other"], "2": [batch, "other"], "10": [batch], "11": None})
    found = find(stores, registry=registry)
    assert (found["versions"], found["uncertain"]) == (["2", "10"], ["11"])
    assert erasure.erase(REQUEST, places(stores, registry))["versions"] == ["2", "10"]
    # They are named also when nothing is left by which they could be found.
    assert find(stores, registry=registry)["versions"] == ["2", "10"] and planned["rows"] == 40


# ---------------------------------------------------------------- erase
def test_everything_is_erased_and_nothing_else(stores: Stores, delivery: list[list[str]]) -> None:
    fill(stores, delivery)
    found = erasure.erase(REQUEST, places(stores))
    assert found["rows"]["diabetes_raw"] == 3 and found["erasure"] and found["erasure"]["completed_at"]
    assert str(PATIENT) not in everything(stores)
    again = find(stores)
    assert not any(again["rows"].values()) and again["files"] == [] and again["exports"] == 0
    assert (again["jobs"], again["to_score"]) == (0, TO_SCORE)
    assert again["erasure"] and again["erasure"]["requested_by"] == "Ada Lovelace"
    assert stores.raw.run("SELECT count(*) FROM diabetes_raw") == [[37]]
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[37]]
    assert stores.clean.run("SELECT patient_key FROM prediction") == [["other"]]
    assert stores.clean.run("SELECT encounter_id FROM outcome") == [[int(delivery[5][0])]]
    left = stores.s3.get_object(Bucket=BUCKETS[0], Key="predictions/1.json")["Body"].read()
    assert json.loads(left)["forecasts"] == [{"patient_key": "other", "site": "default"}]


def test_a_patient_is_erased_also_before_the_first_run_of_this_release(
    stores: Stores, delivery: list[list[str]]
) -> None:
    fill(stores, delivery)
    hashes_as_digits(stores.raw)
    assert erasure.erase(REQUEST, places(stores))["rows"]["diabetes_raw"] == 3
    assert str(PATIENT) not in everything(stores)
    assert migrate(stores.raw, "raw") == ["0005_row_hash_bytes.sql"]
    assert stores.raw.run("SELECT count(*) FROM diabetes_raw") == [[37]]


def test_a_run_over_what_is_left_accounts_for_every_row(stores: Stores, delivery: list[list[str]]) -> None:
    fill(stores, delivery)
    erasure.erase(REQUEST, places(stores))
    planned = stores.plan(start_at="clean")
    stores.clean_batches(planned)
    checked = stores.check(planned, 0)
    assert (checked["rows"], checked["cleaned"], checked["quarantined"]) == (54, 54, 0)
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[37]]


def test_a_delivery_that_is_under_way_can_be_accepted_afterwards(stores: Stores, delivery: list[list[str]]) -> None:
    planned = stores.deliver(delivery, batch_size=15)
    erasure.erase(REQUEST, places(stores))
    assert str(PATIENT) not in everything(stores)
    assert sum(result["rows"] for result in stores.ingest(planned)) == 37
    stores.clean_batches(planned)
    assert stores.check(planned, 0)["cleaned"] == 37


def test_a_cleaned_delivery_can_be_accepted_afterwards(stores: Stores, delivery: list[list[str]]) -> None:
    planned = stores.deliver(delivery, batch_size=15)
    stores.ingest(planned)
    stores.clean_batches(planned)
    erasure.erase(REQUEST, places(stores))
    assert stores.check(planned, 0)["rows"] == 37


def test_the_same_rows_delivered_again_do_not_come_back(stores: Stores, delivery: list[list[str]]) -> None:
    delivered(stores, delivery, batch_size=15)
    erasure.erase(REQUEST, places(stores))
    planned = delivered(stores, delivery, batch_size=15)
    assert (planned["rows"], planned["erased"]) == (37, 3)
    assert not any(find(stores)["rows"].values())
    # The file itself was delivered anew, with the patient.
    assert [file["rows"] for file in find(stores)["files"]] == [3]
    erasure.erase(REQUEST, places(stores))
    assert find(stores)["files"] == []


def test_a_resumed_run_that_was_planned_before_does_not_bring_them_back(
    stores: Stores, delivery: list[list[str]]
) -> None:
    planned = delivered(stores, delivery, batch_size=15)
    erasure.erase(REQUEST, places(stores))
    stores.ingest(planned)
    stores.tidy(planned)
    assert not any(find(stores)["rows"].values())


@pytest.mark.parametrize("step", ["delete_clean", "delete_raw"])
def test_an_erasure_that_breaks_off_is_completed_by_running_it_again(
    stores: Stores, delivery: list[list[str]], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fill(stores, delivery)
    registry = Registry({"1": [batch for (batch,) in stores.raw.run("SELECT batch_id FROM batch")]})
    with monkeypatch.context() as patch:

        def broken(*arguments: Any) -> None:
            raise OSError("the function's time is over")

        patch.setattr(patient_rows, step, broken)
        with pytest.raises(OSError):
            erasure.erase(REQUEST, places(stores, registry))
    unfinished = find(stores, registry=registry)["erasure"]
    assert unfinished and unfinished["completed_at"] is None
    assert erasure.erase(REQUEST, places(stores, registry))["versions"] == ["1"]
    assert str(PATIENT) not in everything(stores)
    planned = stores.plan(start_at="clean")
    stores.clean_batches(planned)
    assert stores.check(planned, 0)["rows"] == 54


def test_erasing_twice_is_erasing_once(stores: Stores, delivery: list[list[str]]) -> None:
    fill(stores, delivery)
    erasure.erase(REQUEST, places(stores))
    before = stores.clean.run("SELECT batch_id, rows FROM delivery_batch ORDER BY 1, 2")
    assert not any(erasure.erase(REQUEST, places(stores))["rows"].values())
    assert stores.clean.run("SELECT batch_id, rows FROM delivery_batch ORDER BY 1, 2") == before


def test_an_encounter_that_was_another_patients_is_again(stores: Stores, rows: list[list[str]]) -> None:
    delivered(stores, rows)
    delivered(stores, [changed(rows[0], patient_nbr=str(PATIENT))])
    encounter = int(rows[0][0])
    store(stores.clean, [Outcome(0, "default", encounter, "NO")], "ward-7", None)
    erasure.erase(REQUEST, places(stores))
    ((patient,),) = stores.clean.run("SELECT patient_nbr FROM diabetes_clean WHERE encounter_id = :id", id=encounter)
    assert str(patient) == rows[0][NAMES.index("patient_nbr")]
    assert stores.clean.run("SELECT encounter_id FROM outcome") == [[encounter]]


def test_without_a_prediction_log_forecasts_are_found_by_their_encounters(
    stores: Stores, delivery: list[list[str]]
) -> None:
    delivered(stores, delivery)
    forecast(stores, delivery[0][0], "of a log that was turned off")
    erasure.erase(REQUEST, places(stores, key=False))
    assert stores.clean.run("SELECT count(*) FROM prediction") == [[0]]


def test_a_forecast_that_was_on_its_way_is_not_logged_but_a_later_one_is(stores: Stores) -> None:
    erasure.erase(REQUEST, places(stores))
    forecast(stores, "5", KEY)
    forecast(stores, "6", "other")
    forecast(stores, "7", KEY, answered_at="2999-01-01T00:00:00Z")
    assert stores.clean.run("SELECT encounter_id FROM prediction ORDER BY 1") == [[6], [7]]


def test_while_a_run_loads_rows_nothing_is_erased_yet_no_delivery_brings_more(
    stores: Stores, delivery: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered(stores, delivery)
    monkeypatch.setattr(erased, "_LOCK_SECONDS", 1)
    with (
        connect("raw", settings.DatabaseSettings.from_environment()) as other,
        erased.loading(other),
        pytest.raises(LoadingInProgress),
    ):
        erasure.erase(REQUEST, places(stores))
    assert find(stores)["rows"]["diabetes_raw"] == 3
    assert delivered(stores, delivery, batch_size=10)["erased"] == 3
    erasure.erase(REQUEST, places(stores))
    assert find(stores)["rows"]["diabetes_raw"] == 0


def test_a_source_outside_the_bucket_is_named(stores: Stores) -> None:
    planned = stores.plan(source="synthetic:rows=50,seed=3")
    stores.ingest(planned)
    stores.tidy(planned)
    ((patient,),) = stores.raw.run("SELECT patient_nbr FROM diabetes_raw LIMIT 1")
    found = erasure.find({"patient": patient, "site": "default"}, places(stores))
    assert found["elsewhere"] == ["synthetic:rows=50,seed=3"]


def test_a_file_with_own_columns_is_searched_by_the_mapping_of_its_delivery(
    stores: Stores, delivery: list[list[str]]
) -> None:
    put(stores, "sources/stays.csv", hospital_file.spreadsheet(hospital_file.cells(delivery[:2] + delivery[3:])))
    put(stores, "sources/stays.yaml", hospital_file.mapping())
    own = {"source": f"s3://{BUCKETS[0]}/sources/stays.csv", "mapping": f"s3://{BUCKETS[0]}/sources/stays.yaml"}
    for _ in range(2):
        planned = stores.plan(**own)
        stores.ingest(planned)
        stores.tidy(planned)
        found = erasure.erase(REQUEST, places(stores))
        assert found["unreadable"] == []
    with stores.s3.get_object(Bucket=BUCKETS[0], Key="sources/stays.csv")["Body"] as body:
        left = body.read().decode("cp1252")
    assert str(PATIENT) not in left and len(left.splitlines()) == len(delivery) - 2
    assert find(stores)["rows"]["diabetes_raw"] == 0


def test_an_archive_that_cannot_be_read_is_named(stores: Stores, delivery: list[list[str]]) -> None:
    delivered(stores, delivery)
    ((source,),) = stores.clean.run("SELECT source FROM delivery")
    put(stores, source.removeprefix(f"s3://{BUCKETS[0]}/"), b"PK\x03\x04 and no archive")
    assert find(stores)["unreadable"] == [source]


# ---------------------------------------------------------------- requests
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"patient": str(PATIENT)}, "'patient'"),
        ({"patient": 0}, "'patient'"),
        ({"patient": True}, "'patient'"),
        ({"site": "North Wing"}, "'site'"),
        ({"site": None}, "'site'"),
        ({"reason": " "}, "'reason'"),
        ({"reason": "x" * 501}, "'reason'"),
        ({"by": ""}, "'by'"),
        ({"confirm": False}, "'confirm'"),
        ({"confirm": "yes"}, "'confirm'"),
        ({"force": True}, "fields"),
    ],
)
def test_a_request_that_is_not_meant_or_not_complete_erases_nothing(
    stores: Stores, delivery: list[list[str]], change: dict[str, Any], named: str
) -> None:
    delivered(stores, delivery)
    with pytest.raises(InvalidRequest, match=named):
        erasure.erase({**REQUEST, **change}, places(stores))
    assert find(stores)["rows"]["diabetes_raw"] == 3 and find(stores)["erasure"] is None
