import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient
from readmission.domain.contract import NAMES
from readmission.pipeline import executions, synthetic

from infra.local.commands import deliveries
from infra.local.errors import LocalError
from tests import hospital_file, poison
from tests.benchmarks import server
from tests.e2e.conftest import Application, Trained
from tests.poison import table, with_field

KIND = {True: "synthetic", False: "real"}


def kind(trained: Trained) -> str:
    return KIND[trained.source.startswith("synthetic")]


def test_every_row_of_the_source_is_in_raw_and_clean(application: Application, trained: Trained) -> None:
    condition = f"WHERE data_kind = '{kind(trained)}' AND site = 'default'"
    assert application.count("raw", f"diabetes_raw {condition}") == trained.rows
    assert application.count("clean", f"diabetes_clean {condition}") == trained.rows


def test_no_patient_is_in_two_splits(application: Application, trained: Trained) -> None:
    twice = "(SELECT FROM diabetes_clean GROUP BY data_kind, patient_nbr HAVING count(DISTINCT split) > 1)"
    assert application.count("clean", twice) == 0


def test_the_splits_are_about_70_15_15(application: Application, trained: Trained) -> None:
    for split, share in (("train", 0.70), ("validation", 0.15), ("test", 0.15)):
        found = application.count("clean", f"diabetes_clean WHERE data_kind = '{kind(trained)}' AND split = '{split}'")
        assert found / trained.rows == pytest.approx(share, abs=0.02)


def test_three_models_are_trained_and_the_best_is_in_production(application: Application, trained: Trained) -> None:
    client = MlflowClient()
    runs = {one["model"]: client.get_run(one["mlflow_run_id"]) for one in trained.output["candidates"]}
    assert set(runs) == {"logistic_regression", "random_forest", "gradient_boosting"}
    best = min(runs, key=lambda model: runs[model].data.metrics["validation_log_loss"])
    version = client.get_model_version_by_alias("readmission", "Production")
    assert (version.current_stage, version.tags["family"], version.tags["data_kind"]) == (
        "Production",
        best,
        kind(trained),
    )
    assert trained.output["promotion"]["decision"] == "promoted"


def test_the_registry_answers_the_search_of_its_old_clients(application: Application, trained: Trained) -> None:
    (model,) = MlflowClient().search_registered_models("name = 'readmission'")
    assert model.aliases["Production"]
    assert "Production" in {version.current_stage for version in model.latest_versions}


def test_a_second_execution_of_the_same_source_adds_no_row(application: Application, trained: Trained) -> None:
    application.run(source=trained.source, stop_after="clean")
    condition = f"WHERE data_kind = '{kind(trained)}' AND site = 'default'"
    assert application.count("raw", f"diabetes_raw {condition}") == trained.rows
    assert application.count("clean", f"diabetes_clean {condition}") == trained.rows


def test_an_execution_with_nothing_new_trains_nothing_and_says_who_started_it(
    application: Application, trained: Trained
) -> None:
    family: dict[str, Any] = {"models": ["logistic_regression"]}  # the fastest
    application.run(source=trained.source, **family)  # other tests may have added rows
    client = MlflowClient()
    experiment = client.get_experiment_by_name("readmission")
    assert experiment

    def made() -> tuple[int, int]:
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        return len(runs), application.count("clean", "promotion_ledger")

    before = made()
    output = application.run(source=trained.source, by="Ada", reason="a test", **family)
    assert (output["earlier"]["outcome"], made()) == ("decided", before)
    assert [one["model"] for one in output["candidates"]] == family["models"]
    assert output["promotion"]["decision"] in ("promoted", "refused")
    ran = "pipeline_run WHERE started_by = 'person' AND actor = 'Ada' AND reason = 'a test' AND skipped IS NULL"
    assert application.count("clean", ran) == 1


def test_of_two_executions_at_once_over_the_same_data_one_trains(application: Application, trained: Trained) -> None:
    request: dict[str, Any] = {"source": "synthetic:rows=2500,seed=4242", "models": ["logistic_regression"]}
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda _: application.run(**request), range(2)))
    assert sorted(output["earlier"]["outcome"] for output in outputs) == ["decided", "train"]
    assert len({output["candidates"][0]["mlflow_run_id"] for output in outputs}) == 1
    assert len({output["promotion"]["version"] for output in outputs}) == 1


@pytest.mark.parametrize(
    ("site", "content", "complaint"),
    [
        ("north", "no,table,of,encounters\n1,2,3,4\n", "none of the 50 columns"),
        ("south", "Fallnummer;x\n1;2\n", "fit the mapping"),
    ],
    ids=["the contract's columns", "a mapping of the site"],
)
def test_a_new_object_below_incoming_starts_an_execution_that_reads_it_as_its_site_writes(
    application: Application, trained: Trained, site: str, content: str, complaint: str
) -> None:
    key = f"incoming/{site}/{time.time_ns()}.csv"
    s3, states = boto3.client("s3"), boto3.client("stepfunctions")
    s3.put_object(Bucket=application.stack.data_bucket, Key="mappings/south.yaml", Body=hospital_file.mapping())
    s3.put_object(Bucket=application.stack.data_bucket, Key=key, Body=content.encode())

    def started() -> executions.Execution | None:
        newest = executions.newest(states, application.stack.pipeline_arn, 10)
        found = [executions.describe(states, arn) for arn in newest]
        return next((one for one in found if str(one.request.get("source", "")).endswith(key) and one.ended), None)

    _eventually(lambda: started() is not None, 120)
    execution = started()
    assert execution and (execution.started_by, execution.error) == ("new object", "ColumnsMismatch")
    assert execution.request["site"] == site
    assert complaint in (execution.message or "")
    s3.close()
    states.close()


def test_an_event_is_an_input_that_does_its_work_once(application: Application, trained: Trained) -> None:
    # A file that is gone ends the run before it trains.
    event = {
        "id": f"e2e-{time.time_ns()}",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": application.stack.data_bucket}, "object": {"key": "incoming/north/gone.csv"}},
    }
    with pytest.raises(LocalError, match="SourceNotFound"):
        application.run(**event)
    again = application.run(**event)
    assert "has started the execution" in again["skipped"] and again["batches"] == []
    assert application.count("clean", f"pipeline_run WHERE event = '{event['id']}' AND started_by = 'new object'") == 2


def test_an_execution_can_stop_after_each_stage_and_start_at_the_next(
    application: Application, trained: Trained
) -> None:
    source = "synthetic:rows=6500,seed=77"  # more than there are, which count from the same number
    raw = application.count("raw", "diabetes_raw")
    clean = application.count("clean", "diabetes_clean")
    ingested = application.run(source=source, stop_after="ingest", batch_size=1000)
    assert application.count("raw", "diabetes_raw") > raw
    assert application.count("clean", "diabetes_clean") == clean
    assert "candidates" not in ingested
    cleaned = application.run(source=source, start_at="clean", stop_after="clean")
    assert application.count("clean", "diabetes_clean") > clean
    assert "candidates" not in cleaned
    fitted = application.run(source=source, start_at="train", stop_after="train", models=["logistic_regression"])
    assert [one["model"] for one in fitted["candidates"]] == ["logistic_regression"]
    assert "promotion" not in fitted


def test_many_batches_make_a_small_payload(application: Application, trained: Trained) -> None:
    output = application.run(source="synthetic:rows=200,seed=5", batch_size=5, stop_after="ingest")
    assert len(output["batches"]) == 40
    assert len(str(output)) < 1_500


def test_each_row_that_was_added_is_counted_in_cloudwatch(application: Application, trained: Trained) -> None:
    cloudwatch = boto3.client("cloudwatch")
    source = application.put_source("counted.csv", table(list(synthetic.rows(50, seed=123))))
    before = _sum(cloudwatch, "RowsAdded")
    application.run(source=source, stop_after="ingest")
    _eventually(lambda: _sum(cloudwatch, "RowsAdded") - before == 50)
    cloudwatch.close()


def _sum(cloudwatch: Any, name: str) -> float:
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            {
                "Id": "one",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Readmission",
                        "MetricName": name,
                        "Dimensions": [{"Name": "service", "Value": "ingest"}],
                    },
                    "Period": 86_400,
                    "Stat": "Sum",
                },
            }
        ],
        StartTime=_midnight(),
        EndTime=_midnight() + 2 * 86_400,
    )
    return float(sum(answer["MetricDataResults"][0]["Values"]))


def _midnight() -> float:
    return time.time() // 86_400 * 86_400


def _eventually(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about within {seconds} s"
        time.sleep(0.2)


@pytest.mark.parametrize(("content", "error", "message"), poison.FILES.values(), ids=poison.FILES)
def test_bad_data_fails_the_execution_by_name_and_leaves_raw_as_it_was(
    application: Application, trained: Trained, content: bytes, error: str, message: str
) -> None:
    source = application.put_source("broken.csv", content)
    before = application.count("raw", "diabetes_raw")
    with pytest.raises(LocalError) as caught:
        application.run(source=source)
    said = str(caught.value)
    assert f"failed in step {error}" in said and source in said and message in said
    assert application.count("raw", "diabetes_raw") == before


def test_a_source_on_this_machine_is_read_and_its_credentials_are_not_shown(
    application: Application, trained: Trained
) -> None:
    content = table(list(synthetic.rows(20, seed=321)))
    with server.serve({"/rows.csv": content}) as address:
        source = f"{address}/rows.csv?sig=secret".replace("http://", "http://user:secret@")
        output = application.run(source=source, stop_after="ingest")
        with pytest.raises(LocalError) as caught:
            application.run(source=source.replace("rows.csv", "nothing.csv"))
    shown = f"{address}/rows.csv?sig=***".replace("http://", "http://***@")
    manifest = application.manifest(output)
    assert (manifest["source"], [batch["rows"] for batch in manifest["batches"]]) == (shown, [20])
    assert "SourceNotFound" in str(caught.value) and "secret" not in str(caught.value)


def test_a_source_that_is_not_there_is_named(application: Application, trained: Trained) -> None:
    source = f"s3://{application.stack.data_bucket}/sources/nothing.zip"
    with pytest.raises(LocalError, match=rf"step plan: SourceNotFound: {source}"):
        application.run(source=source)


@pytest.mark.parametrize(("request_", "field"), poison.REQUESTS.values(), ids=poison.REQUESTS)
def test_an_input_that_cannot_be_used_names_its_field(
    application: Application, trained: Trained, request_: dict[str, Any], field: str
) -> None:
    with pytest.raises(LocalError, match=rf"step plan: InvalidRequest: input field {field}"):
        application.run(**request_)


def test_rows_that_are_readable_but_invalid_are_quarantined_with_the_reason(
    application: Application, trained: Trained
) -> None:
    rows = list(synthetic.rows(60, seed=8))
    rows[11][NAMES.index("age")] = "[100-110)"
    source = application.put_source("odd.csv", table(rows))
    application.run(source=source, stop_after="clean")
    assert application.count("clean", "quarantine WHERE reason LIKE 'age: ''[100-110)'' is not one of%'") == 1


def test_a_run_with_too_many_invalid_rows_stops_before_the_training_and_says_why(
    application: Application, trained: Trained
) -> None:
    source = application.put_source("bad.csv", with_field("age", "[110-120)"))
    with pytest.raises(LocalError) as caught:
        application.run(source=source)
    said = str(caught.value)
    assert f"failed in step check data: TooManyInvalidRows: {source}, delivery " in said
    assert "1 of 30 rows (3.33%)" in said
    assert "MaxInvalidShare" in said and "age: not one of" in said and "quarantine" in said


def test_a_delivery_of_a_site_can_be_listed_and_withdrawn(application: Application, trained: Trained) -> None:
    before = application.count("clean", "diabetes_clean")
    source = application.put_source("north.csv", table(list(synthetic.rows(60, seed=9))))
    application.run(source=source, site="north", stop_after="clean")
    assert application.count("clean", "diabetes_clean WHERE site = 'north'") == 60
    newest = deliveries.deliveries(application.settings, application.stack).splitlines()[1]
    assert "north" in newest and "accepted" in newest and source in newest
    said = deliveries.withdraw(application.settings, application.stack, newest.split()[2], "the wrong ward")
    assert "60 of its encounters left the clean table" in said
    assert application.count("clean", "diabetes_clean") == before
    newest = deliveries.deliveries(application.settings, application.stack).splitlines()[1]
    assert "withdrawn" in newest and "the wrong ward" in newest
