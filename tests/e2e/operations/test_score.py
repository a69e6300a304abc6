"""A night's discharges, scored by one command on the deployed application: as single requests, and logged once."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from readmission.client import ApiProblem, Client, Job
from readmission.domain.contract import ENDS_OF_CARE, NAMES
from readmission.pipeline import synthetic
from readmission.pipeline.plan import to_csv
from readmission.serving.earlier_stays import EarlierStaysInPostgres
from readmission.serving.encounters import Patient
from readmission.settings import DatabaseSettings

from tests.e2e.conftest import SYNTHETIC, Application, Trained

STAYS = int(os.environ.get("SCORED_STAYS", "5000"))
COMPARED = 60  # by a request each
ENDED = {str(place) for places in ENDS_OF_CARE.values() for place in places}


@pytest.fixture
def api(application: Application) -> Iterator[Client]:
    with application.client as client:
        yield client


@pytest.fixture(scope="module")
def night() -> list[dict[str, str]]:
    """Discharges with the numbers of their patients and without a field of the history; some have been there before."""
    rows = [dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(STAYS, seed=4)]
    return [
        row | {"encounter_id": str(9_000_000_000 + place), "discharge_disposition_id": "1"}
        for place, row in enumerate(rows)
    ]


def _put(application: Application, name: str, content: bytes) -> str:
    key = f"scoring/incoming/{name}"
    application.platform.client("s3").put_object(Bucket=application.stack.data_bucket, Key=key, Body=content)
    return key


def _table(application: Application, key: str) -> list[dict[str, str]]:
    content = application.platform.client("s3").get_object(Bucket=application.stack.data_bucket, Key=key)["Body"].read()
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _csv(rows: list[dict[str, str]]) -> bytes:
    return to_csv([NAMES, *(list(row.values()) for row in rows)]).encode()


def _single(application: Application, api: Client, rows: list[dict[str, str]], kind: str) -> list[Any]:
    """What the API answers to each, given the history that the database knows."""
    patients = [Patient("default", int(row["patient_nbr"]), int(row["encounter_id"])) for row in rows]
    login = replace(DatabaseSettings.from_environment(), secret="readmission/database/reader")
    with closing(EarlierStaysInPostgres(login, 30)) as source:
        histories = source.read(kind, patients)
    return [api.predict(row | stays.fields) for row, stays in zip(rows, histories, strict=True)]


def test_a_night_is_scored_by_one_command_and_equals_single_requests(
    application: Application, api: Client, trained: Trained, night: list[dict[str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "night.csv"
    file.write_bytes(_csv([*night, night[0] | {"age": "?"}]))
    said = application.platform.run("score", "--source", str(file))
    assert f"{STAYS:,} forecasts by version" in said and "1 rows refused" in said
    results = next(line.split()[-1] for line in said.splitlines() if line.endswith("results.csv"))
    key = results.removeprefix(f"s3://{application.stack.data_bucket}/")
    table = _table(application, key)
    assert [int(line["row"]) for line in table] == list(range(1, STAYS + 1))
    if trained.source == SYNTHETIC:  # most patients of the night are among its patients
        assert {line["history"] for line in table} == {"found", "not found"}
    kind = api.model()["data_kind"]
    chosen = range(0, STAYS, max(1, STAYS // COMPARED))
    for place, single in zip(chosen, _single(application, api, [night[one] for one in chosen], kind), strict=True):
        line = table[place]
        assert line["readmitted"] == single["readmitted"] and line["band"] == single["early_risk"]["band"]
        assert float(line["percentile"]) == single["early_risk"]["percentile"]
        for name, probability in single["probabilities"].items():
            assert float(line[f"probability_{name}"]) == pytest.approx(probability, abs=1e-12)
    (refused,) = _table(application, key.replace("results.csv", "refused.csv"))
    assert (refused["row"], refused["field"]) == (str(STAYS + 1), "age")
    job = key.split("/")[2]
    assert application.count("clean", f"prediction WHERE request_id = '{job}'") == STAYS


def test_a_job_is_followed_and_an_id_is_one_job(application: Application, api: Client, trained: Trained) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(30, seed=6)]
    source = _put(application, "small.jsonl", "\n".join(map(json.dumps, rows)).encode())
    for _ in range(2):
        api.start_job(source=source, explain="all", chunk_rows=7, job_id="e2e-small")
    ended: Job = api.wait_for_job("e2e-small", seconds=0.5)
    assert ended["status"] == "succeeded", ended
    result = ended["result"]
    assert result is not None and result["rows"] == 30
    assert api.start_job(source=source, explain="all", chunk_rows=7, job_id="e2e-small") == ended
    assert ended["chunks"] == ended["chunks_done"] == 5
    with pytest.raises(ApiProblem) as raised:
        api.start_job(source=source, job_id="e2e-small")
    assert raised.value.status == 409
    s3 = application.platform.client("s3")
    part = s3.get_object(Bucket=application.stack.data_bucket, Key=f"{result['parquet']}part-0001.parquet")["Body"]
    assert pq.read_table(io.BytesIO(part.read())).column_names[-1] == "contributions"
    ended_care = sum(row["discharge_disposition_id"] in ENDED for row in rows)
    assert result["refused"] >= ended_care


def test_a_delivery_is_scored(application: Application, api: Client, trained: Trained) -> None:
    ((delivery, rows),) = application.platform.query(
        "clean",
        "SELECT delivery_id, count(*) FROM delivery JOIN delivery_batch USING (delivery_id)"
        " JOIN clean_row USING (batch_id) WHERE status = 'accepted' GROUP BY delivery_id ORDER BY count(*) LIMIT 1",
    )
    ended = api.wait_for_job(api.start_job(delivery=delivery)["id"], seconds=0.5)
    result = ended.get("result")
    assert result is not None and result["rows"] == int(rows), ended
    refused = _table(application, result["refused_rows"])
    assert {one["field"] for one in refused} <= {"discharge_disposition_id"}


def test_a_file_that_cannot_be_read_fails_the_job_with_its_reason(
    application: Application, api: Client, trained: Trained
) -> None:
    source = _put(application, "wrong.csv", b"age_numeric,x\n55,1\n")
    ended = api.wait_for_job(api.start_job(source=source)["id"], seconds=0.5)
    error = ended.get("error")
    assert ended["status"] == "failed" and error is not None
    assert error["code"] == "ColumnsMismatch" and "x is not a column of this format" in error["message"]


def test_jobs_need_a_key(application: Application, trained: Trained) -> None:
    assert application.call("/jobs", {"source": "scoring/incoming/x.csv"}, method="POST", key=None).status == 403
    assert application.call("/jobs/e2e-small", key=None).status == 403
    assert application.call("/jobs/unknown").status == 404
