"""The monitor on real servers: deliveries and logged forecasts, judged by versions in MLflow, to S3 and MLflow."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import pytest
from readmission.domain.contract import NAMES
from readmission.domain.features import INPUTS
from readmission.domain.payloads import MonitorEvent
from readmission.evaluation.quality import METRICS
from readmission.monitoring.monitor import monitor, result_of
from readmission.pipeline import synthetic
from readmission.registry import names
from readmission.settings import DatabaseSettings, MonitorLimits, MonitorSettings
from readmission.storage import monitor_document

from tests.integration.readmission.conftest import BUCKETS, Stores, changed, delivery_of
from tests.integration.readmission.models import ARTIFACTS, MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS

ROWS = list(synthetic.rows(7000, seed=11))


def part(*places: int) -> list[list[str]]:
    """Some of 14 parts of the rows. A patient is in one part, or later ones would have longer histories."""
    patient = NAMES.index("patient_nbr")
    return [row for row in ROWS if crc32(row[patient].encode()) % 14 in places]


TRAINED, SAME, SHIFTED = part(*range(8)), part(8, 9, 10), part(11, 12, 13)


def shifted(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same patients with twice as many medications, and all of one payer."""
    place = NAMES.index("num_medications")
    return [changed(row, num_medications=str(min(2 * int(row[place]), 200)), payer_code="XX") for row in rows]


@contextmanager
def read_only(stores: Stores) -> Iterator[None]:
    """As the user that the function logs in as."""
    stores.clean.run("SET default_transaction_read_only = on")
    try:
        yield
    finally:
        stores.clean.run("SET default_transaction_read_only = off")


def run(models: Models, **options: Any) -> dict[str, Any]:
    settings = MonitorSettings(
        DatabaseSettings.from_environment(), models.settings, BUCKETS[0], MonitorLimits(), **options
    )
    with read_only(models.stores):
        return monitor(MonitorEvent(started_by="a test"), models.stores.clean, models.stores.s3, settings)


def deliver(models: Models, rows: Sequence[Sequence[str]], **request: Any) -> str:
    planned = models.stores.deliver(rows, **request)
    models.stores.ingest(planned)
    models.stores.tidy(planned)
    return delivery_of(planned)


def first_delivery(models: Models) -> str:
    """The same in each test, so that they share what has learned from it."""
    models.stores.load_once("first delivery of the monitor", lambda: deliver(models, TRAINED))
    ((delivery,),) = models.stores.clean.run("SELECT delivery_id FROM delivery")
    return str(delivery)


def trained(models: Models) -> str:
    """A first delivery, and a version in Production that has learned from it."""
    delivery = first_delivery(models)
    models.promote(models.candidate("logistic_regression", kind="real", artifacts=ARTIFACTS), kind="real")
    return delivery


def codes(window: dict[str, Any]) -> set[tuple[str, str]]:
    return {(alert["code"], alert["subject"]) for alert in window["alerts"]}


def test_only_the_shifted_delivery_alerts_and_quality_is_realised_within_its_estimate(models: Models) -> None:
    first = trained(models)
    same, other = deliver(models, SAME), deliver(models, shifted(SHIFTED))
    document = run(models)
    windows = {window["name"]: window for window in document["windows"]}
    assert list(windows) == [first, same, other]
    assert codes(windows[first]) == codes(windows[same]) == set()
    found = codes(windows[other])
    assert {("input_drift", "num_medications"), ("input_drift", "payer_code")} <= found
    assert ("new_categories", "payer_code") in found
    assert all(alert["what_to_do"] for alert in windows[other]["alerts"])
    assert [window["newest"] for window in windows.values()] == [False, False, True]
    # The version has learned from the first delivery, of which only the test rows say something.
    assert [window["only_test_rows"] for window in windows.values()] == [True, False, False]
    assert windows[first]["forecasts"] < 0.25 * len(TRAINED) and windows[same]["forecasts"] > 0.8 * len(SAME)
    for window in (windows[first], windows[same]):
        assert window["labels"] == window["forecasts"]
        for name in METRICS:
            estimate = window["estimated"][name]
            assert estimate["low"] < window["realised"][name]["value"] < estimate["high"]
    assert {group["by"] for group in windows[same]["groups"]} == {"race", "gender", "age"}
    drift = {one["name"]: one for one in windows[other]["drift"]["inputs"]}
    assert drift.keys() == set(INPUTS)
    assert drift["payer_code"]["new_categories"] == ["XX"] and drift["payer_code"]["new_share"] == 1
    assert result_of(document)["alerts"] == len(windows[other]["alerts"])


def test_the_document_is_in_s3_twice_and_in_the_run_of_the_version(models: Models) -> None:
    trained(models)
    document = run(models)
    key = result_of(document)["key"]
    written = models.stores.s3.get_object(Bucket=BUCKETS[0], Key=key)["Body"].read()
    newest = monitor_document.newest(models.stores.s3, BUCKETS[0], models.settings.name)
    assert json.loads(written) == json.loads(newest or b"") == document
    version = models.client.get_model_version_by_alias(models.settings.name, names.PRODUCTION)
    with open(models.client.download_artifacts(str(version.run_id), names.MONITOR), "rb") as file:
        assert json.load(file) == document
    assert (document["version"], document["data_kind"], document["started_by"]) == (version.version, "real", "a test")
    # No patient, and no encounter.
    assert not {row[1] for row in TRAINED[:200] if len(row[1]) > 6} & set(written.decode().split('"'))


def test_a_delivery_that_the_version_has_learned_from_alerts_no_more(models: Models) -> None:
    trained(models)
    deliver(models, shifted(SHIFTED))
    made = models.promote(models.train("logistic_regression", run="again", kind="real"), kind="real", execution="again")
    if made["decision"] == "refused":  # on so few test rows, chance decides
        models.rollback(version=made["version"], force=True)
    later = deliver(models, SAME)
    windows = run(models)["windows"]
    assert windows[-1]["version"] == made["version"]
    # The training rows as a whole differ from each delivery, but the model knows patients like these.
    drift = {one["name"]: one for one in windows[-1]["drift"]["inputs"]}["payer_code"]
    assert windows[-1]["name"] == later and drift["psi"] > 0.25 > drift["psi_of_most_similar_delivery"]
    # What the checks found different of a delivery as it came stays with it.
    found = set().union(*map(codes, windows))
    assert {code for code, _ in found} <= {"delivery_quality"}


def test_an_encounter_counts_in_the_delivery_that_brought_it_first_with_its_newest_label(models: Models) -> None:
    trained(models)
    deliver(models, SAME)
    before = run(models)["windows"][1]
    place = NAMES.index("readmitted")
    again = [changed(row, readmitted="<30" if row[place] == "NO" else "NO") for row in SAME]
    deliver(models, again)
    windows = run(models)["windows"]
    assert len(windows) == 2 and windows[1]["forecasts"] == before["forecasts"]
    assert windows[1]["realised"]["auc_early"]["value"] < 0.5 < before["realised"]["auc_early"]["value"]
    assert ("realised_quality", "auc_early") in codes(windows[1])


def test_a_version_of_an_earlier_release_has_no_drift_and_the_document_says_why(models: Models) -> None:
    first_delivery(models)
    # A copy with no other artifacts than the scorer.
    models.promote(models.candidate("logistic_regression", kind="real"), kind="real")
    deliver(models, SAME)
    for window in run(models)["windows"]:
        assert window["drift"] is None and "an earlier release trained it" in window["why_no_drift"]
        # What it has learned from is not known either.
        assert window["only_test_rows"] and window["estimated"] is not None and window["alerts"] == []


def test_without_a_version_in_production_only_deliveries_are_listed(models: Models) -> None:
    delivery = deliver(models, SAME[:200])
    document = run(models)
    assert (document["version"], document["windows"]) == (None, [])
    assert [(one["delivery_id"], one["rows"], one["invalid_share"]) for one in document["deliveries"]] == [
        (delivery, 200, 0)
    ]


def test_a_delivery_with_more_invalid_rows_than_those_before_it_alerts(models: Models) -> None:
    trained(models)
    broken = [changed(row, gender="unknown") if number % 20 == 0 else row for number, row in enumerate(SAME)]
    deliver(models, broken)
    document = run(models)
    assert ("delivery_quality", "invalid rows") in codes(document["windows"][-1])
    assert document["deliveries"][-1]["invalid_share"] == pytest.approx(0.05, abs=0.001)


def test_a_large_delivery_is_looked_at_by_a_sample_of_whole_patients(models: Models) -> None:
    trained(models)
    deliver(models, SAME)
    sampled, whole = run(models, rows=600)["windows"][-1], run(models)["windows"][-1]
    assert 300 < sampled["forecasts"] < 900 < whole["forecasts"]
    assert sampled["forecasts"] == run(models, rows=600)["windows"][-1]["forecasts"]


LOG = """
    INSERT INTO prediction (log_id, request_id, position, answered_at, route, model_name, model_version, data_kind,
        site, encounter_id, inputs, p_early, p_late, p_none)
    SELECT :prefix || encounter_id, :prefix || encounter_id, 0, now() - CAST(:age AS interval), '/predict', :model, '1',
        'real', site, encounter_id, to_jsonb(encounters) - 'patient_nbr' - 'readmitted', 0.05 + 0.2 * random(), 0.3,
        0.45
    FROM encounters WHERE data_kind = 'real' AND encounter_id % 3 = 0
"""


def test_logged_forecasts_are_looked_at_by_days_and_count_once_for_an_encounter(models: Models) -> None:
    trained(models)
    for prefix, age in (("a", "40 days"), ("b", "10 minutes"), ("c", "5 minutes")):
        models.stores.clean.run(LOG, prefix=prefix, age=age, model=models.settings.name)
    document = run(models, window_days=1)
    days = [window for window in document["windows"] if window["kind"] == "days"]
    ((logged,),) = models.stores.clean.run("SELECT count(DISTINCT encounter_id) FROM prediction")
    assert sum(window["forecasts"] for window in days[-1:]) == logged
    assert days[-1]["newest"] and days[-1]["version"] == "1" and days[-1]["site"] is None
    assert days[-1]["estimated"]["auc_early"]["value"] > 0.5
    # These are the patients of the training, by made-up forecasts.
    assert {code for code, _ in codes(days[-1])} <= {"forecast_drift", "estimated_quality"}
    assert ("forecast_drift", "forecasts") in codes(days[-1])
    assert {one["value"] for one in days[-1]["groups"] if one["by"] == "gender"} == {"Female", "Male"}
